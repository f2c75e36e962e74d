"""`python -m faultbench` is the `faultbench` command."""

from faultbench.cli.main import main

if __name__ == "__main__":
    main()
