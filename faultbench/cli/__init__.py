"""The command line: one file per verb, and heavy imports inside the verbs."""

import sys

from faultbench.system.search_path import leave_current_folder_out

if sys.argv[0].endswith(
    ("/faultbench", "/faultbench/__main__.py")
):  # the command itself, not a program that imports it
    leave_current_folder_out()
