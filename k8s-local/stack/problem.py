"""What goes wrong and isn't a fault of these programs: one clear line that says what to do."""

import errno


class Problem(Exception):
    """Told to the user as it is, without a trace."""


def of_the_machine(error):
    """The line for an error of the operating system."""
    if error.errno == errno.ENOSPC:
        return f"the disk is full ({error.filename or 'while writing'}): make room, then run it again"
    if error.errno == errno.ENOEXEC:
        return f"{error.filename} isn't for this machine's processor: build it here (make build)"
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{where}"
