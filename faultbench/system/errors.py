"""The kinds of error a user can meet, each with the exit code of the command that meets it."""


class FaultbenchError(Exception):
    """A user's mistake: bad campaign, option or input file.

    The message says where, what is wrong, what was given and what would be right; the command line prints
    it without a traceback and exits with `exit_code`.
    """

    exit_code = 2


class EngineError(FaultbenchError):
    """The machine's failure, not the user's: workers died, the disk is full. Running again resumes."""

    exit_code = 4


class OutOfTime(FaultbenchError):  # noqa: N818 - the end of a time limit is not an error
    """The time limit, or the batch system, ended the run. Running again resumes."""

    exit_code = 75


class Interrupted(FaultbenchError):  # noqa: N818 - an interruption is not an error
    """The user stopped the run. Running again resumes."""

    exit_code = 130
