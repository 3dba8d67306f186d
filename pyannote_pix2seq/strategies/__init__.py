"""How recordings of any length are read, chunk by chunk, and who is who in all of them."""
