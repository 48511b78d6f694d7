"""One training: TrainingArguments, the Hugging Face Trainer, checkpoints and resume.

Which parameters are trained, and on which rows, the strategies decide.
"""
