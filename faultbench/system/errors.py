"""Errors that users meet, each with the exit code of the command that ends with it.

Exception
└── FaultbenchError            2   mistake in a campaign, option, argument or input file
    ├── CampaignError          2   all mistakes in a campaign file (faultbench.campaign)
    ├── UnfinishedError        3   a baseline needs trials that are missing (faultbench.runner.check)
    ├── EngineError            4   failure of the machine: disk, memory, network
    │   └── WorkersError       4   workers, or their cluster, are gone
    ├── OutOfTime             75   end of a time limit
    └── Interrupted          130   Ctrl-C

The last four stop a run that can be resumed by running it again. Other exceptions of the package do not reach users:
the code that knows the file in question catches them and raises one of these.
"""

from faultbench.system.printable import shortened


class FaultbenchError(Exception):
    """Mistake of a user in a campaign, option, argument or input file.

    The message says where, what is wrong, what was given and what would be right. The command line prints it without
    a traceback and exits with `exit_code`. It is one printable line of limited length, whatever names are in it,
    because a path may hold an escape sequence, and scripts print messages too.
    """

    exit_code = 2

    def __str__(self) -> str:
        return shortened(super().__str__())


class EngineError(FaultbenchError):
    """Failure of the machine, not of the user: a full disk, no memory, dead workers. Running again resumes."""

    exit_code = 4


class WorkersError(EngineError):
    """Failure of workers or of their cluster, which died or do not answer. Recorded trials are kept."""


class OutOfTime(FaultbenchError):  # noqa: N818 - the end of a time limit is not an error
    """End of a run by its time limit or by the batch system. Running again resumes."""

    exit_code = 75


class Interrupted(FaultbenchError):  # noqa: N818 - an interruption is not an error
    """End of a run that the user stopped. Running again resumes."""

    exit_code = 130
