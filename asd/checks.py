"""Checks of JSON values that anyone may have written; what does not pass is a ValueError."""


def keys(value, what, keys):
    if not isinstance(value, dict) or value.keys() != set(keys):
        raise ValueError(f"{what} does not hold {', '.join(keys)}")


def is_text(value, longest):
    return isinstance(value, str) and len(value) <= longest


def items(value, what):
    if not isinstance(value, list):
        raise ValueError(f"{what} is no list")
    return value


def number(value, what, low, high):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{what} is no number from {low:g} to {high:g}")
    return float(value)


def whole(value, what, low, high):
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{what} is no whole number from {low} to {high}")
    return value
