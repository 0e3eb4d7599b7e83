"""What a stack of containers was started with, in a file of the state's folder. That it is there says that there is something
to take down; the settings may have others by then.
"""

import json

from .secret_files import write


class Marker:
    """The file of one runtime."""

    def __init__(self, state, runtime):
        self.path = state / runtime

    def exists(self):
        return self.path.exists()

    def write(self, **started):
        write(self.path, json.dumps(started))

    def read(self):
        """None where nothing was started, or where a crash left half of it."""
        try:
            return json.loads(self.path.read_text())
        except (OSError, ValueError):
            return None
