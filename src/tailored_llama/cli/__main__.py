"""`python -m tailored_llama.cli` is `tailor`."""

from tailored_llama.cli import main

main()
