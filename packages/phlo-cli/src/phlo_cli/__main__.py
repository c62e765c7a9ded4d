"""`python -m phlo_cli` is `phlo`."""

from __future__ import annotations

from phlo_cli.main import main

if __name__ == "__main__":
    main()
