"""``python -m galenic`` is the command ``galenic``."""

from galenic.cli.main import main

if __name__ == "__main__":
    main()
