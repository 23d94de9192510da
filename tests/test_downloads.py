"""The download scripts against a local server: whole, broken off, damaged, run again."""

import io
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import REPO, files_below

DEV = {"fan": "/3678171/files/dev_data_fan.zip", "pump": "/3678171/files/dev_data_pump.zip"}
EVAL = {
    "/3727685/files/eval_data_train_fan.zip": "fan/train/normal_id_01_00000000.wav",
    "/3841772/files/eval_data_test_fan.zip": "fan/test/id_01_00000000.wav",
}
LIST = "/3951620/files/eval_data_list.csv"


def archive(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, os.urandom(20000))
    return buffer.getvalue()


@pytest.fixture
def server():
    """Serves `files`; breaks a transfer off after `break_after` bytes, once; understands ranges if `ranges`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            http.requests.append((self.path, self.headers.get("Range")))
            content = http.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = 0
            if http.ranges and self.headers.get("Range"):
                start = int(self.headers["Range"].removeprefix("bytes=").split("-")[0])
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if http.break_after and self.path in http.to_break:
                http.to_break.remove(self.path)
                self.wfile.write(content[start : start + http.break_after])
                return
            self.wfile.write(content[start:])

        def log_message(self, *args):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.files, http.requests, http.ranges, http.break_after, http.to_break = {}, [], True, 0, set()
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield http
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def repo(tmp_path):
    """A copy of the scripts, so that data/ of the checkout is not touched."""
    for name in ("download_dev_data.sh", "download_eval_data.sh"):
        shutil.copy(REPO / name, tmp_path)
    shutil.copytree(REPO / "tools", tmp_path / "tools")
    return tmp_path


def path_without(folder, *missing):
    """A folder of links to the programs the scripts need, but the missing ones."""
    folder.mkdir(exist_ok=True)
    for name in {"sh", "dirname", "mkdir", "rm", "mv", "wc", "sleep", "curl", "wget", "unzip", "python3"} - set(
        missing
    ):
        # sys.executable: what python3 names may be a script that needs more programs
        if found := os.path.realpath(sys.executable) if name == "python3" else shutil.which(name):
            (folder / name).symlink_to(found)
    return str(folder)


def download(repo, script, *machines, server=None, path=None):
    env = os.environ | {"RETRY_SECONDS": "0"}
    if server:
        env["ZENODO"] = f"http://127.0.0.1:{server.server_port}"
    if path:
        env["PATH"] = path
    return subprocess.run(
        [shutil.which("sh"), str(repo / script), *machines], env=env, capture_output=True, text=True, timeout=120
    )


PROGRAMS = [(), ("curl",), ("unzip",), ("curl", "unzip")]


@pytest.mark.parametrize("missing", PROGRAMS, ids=lambda missing: "without " + " ".join(missing))
def test_a_machine_type_is_fetched_and_unpacked(repo, server, missing):
    if "curl" in missing and not shutil.which("wget"):
        pytest.skip("wget is not installed")
    server.files[DEV["fan"]] = archive("fan/train/a.wav", "fan/test/b.wav")
    process = download(repo, "download_dev_data.sh", "fan", server=server, path=path_without(repo / "bin", *missing))
    assert process.returncode == 0, process.stderr
    assert sorted(files_below(repo / "dev_data")) == [".dev_data_fan.zip.unpacked", "fan/test/b.wav", "fan/train/a.wav"]


def test_what_is_there_is_not_fetched_again(repo, server):
    server.files[DEV["fan"]] = archive("fan/train/a.wav")
    for _ in range(2):
        assert download(repo, "download_dev_data.sh", "fan", server=server).returncode == 0
    assert len(server.requests) == 1


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("missing", [("wget",), ("curl",)], ids=["curl", "wget"])
def test_a_broken_transfer_goes_on(repo, server, missing, ranges):
    if "curl" in missing and not shutil.which("wget"):
        pytest.skip("wget is not installed")
    content = archive("fan/train/a.wav", "fan/test/b.wav")
    server.files[DEV["fan"]], server.ranges = content, ranges
    server.break_after, server.to_break = 15000, {DEV["fan"]}
    process = download(repo, "download_dev_data.sh", "fan", server=server, path=path_without(repo / "bin", *missing))
    assert process.returncode == 0, process.stderr
    assert (repo / "dev_data/fan/train/a.wav").stat().st_size == 20000
    if ranges:
        assert server.requests[1] == (DEV["fan"], "bytes=15000-")


def test_a_killed_download_goes_on_in_the_next_run(repo, server):
    content = archive("fan/train/a.wav")
    server.files[DEV["fan"]] = content
    (repo / "dev_data").mkdir()
    (repo / "dev_data/dev_data_fan.zip.part").write_bytes(content[:7000])
    assert download(repo, "download_dev_data.sh", "fan", server=server).returncode == 0
    assert server.requests[0] == (DEV["fan"], "bytes=7000-")
    assert (repo / "dev_data/fan/train/a.wav").is_file()


def test_a_finished_part_is_taken(repo, server):
    content = archive("fan/train/a.wav")
    server.files[DEV["fan"]] = content
    (repo / "dev_data").mkdir()
    (repo / "dev_data/dev_data_fan.zip.part").write_bytes(content)
    assert download(repo, "download_dev_data.sh", "fan", server=server).returncode == 0
    assert (repo / "dev_data/fan/train/a.wav").is_file()


def test_a_damaged_archive_is_not_unpacked(repo, server):
    content = bytearray(archive("fan/train/a.wav"))
    content[10000] ^= 1
    server.files[DEV["fan"]] = bytes(content)
    process = download(repo, "download_dev_data.sh", "fan", server=server)
    assert process.returncode == 1
    assert "dev_data_fan.zip" in process.stderr.splitlines()[-1]
    assert not (repo / "dev_data/fan").exists()


def test_a_damaged_part_is_given_up(repo, server):
    content = archive("fan/train/a.wav")
    server.files[DEV["fan"]] = content
    (repo / "dev_data").mkdir()
    (repo / "dev_data/dev_data_fan.zip.part").write_bytes(b"x" * len(content))
    process = download(repo, "download_dev_data.sh", "fan", server=server)
    assert process.returncode == 0, process.stderr
    assert (repo / "dev_data/fan/train/a.wav").is_file()


def test_an_archive_that_cannot_be_unpacked_is_kept(repo, server):
    content = archive("fan/train/a.wav")
    server.files[DEV["fan"]] = content
    (repo / "dev_data").mkdir()
    (repo / "dev_data/fan").write_text("a file where the folder belongs")
    process = download(repo, "download_dev_data.sh", "fan", server=server)
    assert process.returncode == 1
    assert "is kept" in process.stderr
    assert (repo / "dev_data/dev_data_fan.zip").read_bytes() == content
    (repo / "dev_data/fan").unlink()
    assert download(repo, "download_dev_data.sh", "fan", server=server).returncode == 0
    assert len(server.requests) == 1


def test_the_evaluation_set_with_its_ground_truth(repo, server):
    for path, name in EVAL.items():
        server.files[path] = archive(name)
    server.files[LIST] = b"fan\nid_01_00000000.wav,normal_id_01_00000000.wav,0\n" * 1000
    server.break_after, server.to_break = 9000, {*EVAL, LIST}
    process = download(repo, "download_eval_data.sh", "fan", server=server)
    assert process.returncode == 0, process.stderr
    found = files_below(repo / "eval_data")
    assert set(EVAL.values()) < set(found)
    assert found["eval_data_list.csv"] == server.files[LIST]
    assert not [name for name in found if name.endswith((".zip", ".part"))]


def test_a_file_that_is_not_on_the_server(repo, server):
    process = download(repo, "download_dev_data.sh", "pump", server=server)
    assert process.returncode == 1
    assert "error: dev_data_pump.zip could not be fetched" in process.stderr.splitlines()[-1]


def test_an_unknown_machine_type_is_wrong_usage(repo, server):
    for script in ("download_dev_data.sh", "download_eval_data.sh"):
        process = download(repo, script, "zeppelin", server=server)
        assert process.returncode == 2
        assert "ToyConveyor" in process.stderr
    assert not server.requests
