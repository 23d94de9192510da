# What download_dev_data.sh and download_eval_data.sh share. Sourced from the repo's folder.

ZENODO=${ZENODO:-https://zenodo.org/records}
MACHINES="ToyCar ToyConveyor fan pump slider valve"
TRIES=5

fail() {
    echo "error: $1" >&2
    exit 1
}

# The machine types named in the arguments, all where there are none.
chosen_machines() {
    for machine in "$@"; do
        case " $MACHINES " in
            *" $machine "*) ;;
            *)
                echo "usage: sh $0 [MACHINE...], of: $MACHINES; no argument: all" >&2
                exit 2
                ;;
        esac
    done
    [ $# -gt 0 ] || set -- $MACHINES
    echo "$@"
}

# transfer URL FILE: fetch, going on where FILE ends.
transfer() {
    if command -v curl >/dev/null 2>&1; then
        curl --fail --location --show-error --connect-timeout 30 --continue-at - --output "$2" "$1"
    elif command -v wget >/dev/null 2>&1; then
        wget --continue --timeout=30 --tries=1 --output-document="$2" "$1"
    else
        fail "neither curl nor wget is there; install one and run again"
    fi
}

# run_unzip test|unpack ARCHIVE FOLDER
run_unzip() {
    if command -v unzip >/dev/null 2>&1; then
        case $1 in
            test) unzip -tqq "$2" >/dev/null 2>&1 ;;
            unpack) unzip -oqq "$2" -d "$3" ;;
        esac
    elif command -v python3 >/dev/null 2>&1; then
        case $1 in
            test) python3 -c 'import sys, zipfile; sys.exit(zipfile.ZipFile(sys.argv[1]).testzip() is not None)' "$2" 2>/dev/null ;;
            unpack) python3 -m zipfile -e "$2" "$3" ;;
        esac
    else
        fail "neither unzip nor python3 is there; install one and run again"
    fi
}

is_whole() {
    case $1 in
        *.zip.part | *.zip) run_unzip test "$1" ;;
        *) [ -s "$1" ] ;;
    esac
}

size() {
    if [ -f "$1" ]; then wc -c <"$1"; else echo 0; fi
}

# download RECORD NAME FOLDER: fetch a file of a Zenodo record into a folder, whole or not at all.
download() {
    file=$3/$2
    [ -f "$file" ] && return
    echo "fetching $2"
    try=1
    while :; do
        before=$(size "$file.part")
        if transfer "$ZENODO/$1/files/$2" "$file.part"; then ended=yes; else ended=no; fi
        # A finished transfer may be damaged, and a failed one may have had nothing left to fetch.
        if { [ $ended = yes ] || [ "${2##*.}" = zip ]; } && is_whole "$file.part"; then
            mv "$file.part" "$file"
            return
        fi
        after=$(size "$file.part")
        if [ "$after" -gt 0 ] && [ "$after" -eq "$before" ]; then
            rm -f "$file.part" # nothing came, yet it is not whole: begin again
        fi
        [ $try -lt $TRIES ] || fail "$2 could not be fetched from $ZENODO/$1/files/ in $TRIES tries; run again to go on where it stopped"
        try=$((try + 1))
        echo "the transfer of $2 broke off, try $try of $TRIES" >&2
        sleep "${RETRY_SECONDS:-5}"
    done
}

# fetch_archive RECORD NAME FOLDER: download, test, unpack, remove; nothing where it was done before.
fetch_archive() {
    mkdir -p "$3"
    done=$3/.$2.unpacked
    if [ -f "$done" ]; then
        echo "$2 is unpacked already (remove $done to fetch it again)"
        return
    fi
    if [ -f "$3/$2" ] && ! is_whole "$3/$2"; then
        echo "$3/$2 is damaged, it is fetched again" >&2
        rm -f "$3/$2"
    fi
    download "$1" "$2" "$3"
    echo "unpacking $2"
    run_unzip unpack "$3/$2" "$3" || fail "$3/$2 could not be unpacked (disk full?) and is kept; run again to unpack it"
    : >"$done"
    rm -f "$3/$2"
}
