"""What the model is made of: attention that hears voices, and ways to point at times and to name speakers."""
