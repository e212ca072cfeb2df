"""Training, shared by heal and tune: the loop, losses, batches, LoRA, the teacher, CPU kernels."""
