"""Classical anomalous sound detection for machine condition monitoring."""


def __getattr__(name):
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import metadata  # here: it takes longer to import than the rest

    try:
        return metadata.version("asd")
    except metadata.PackageNotFoundError:  # run from a copy that is not installed
        return "unknown"
