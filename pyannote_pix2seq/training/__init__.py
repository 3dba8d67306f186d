"""Training of the model, and of the refinement of its frontend, on conversations."""
