"""What a person's ratings say about settings: which to use, how sure that is, what to try next."""
