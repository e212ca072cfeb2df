"""`python -m tailored_llama` is `tailor`."""

from tailored_llama.cli import main

if __name__ == "__main__":
    main()
