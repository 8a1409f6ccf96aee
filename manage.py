"""The command line in a checkout; installed, it is called `handrail`."""

from project.command_line import main

if __name__ == "__main__":
    main()
