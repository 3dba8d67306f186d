"""Parts of the model: attention with a bias from voices, and how it points at times and names speakers."""
