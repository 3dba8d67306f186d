"""From conversations to training: of the model, and of the refinement of its frontend."""
