"""One training: TrainingArguments, the Hugging Face Trainer, checkpoints and resume.

What is trained, and on which rows, the strategies say.
"""
