"""Parts of the set-up script; standard library only, because nothing is installed yet."""
