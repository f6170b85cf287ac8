"""Label-efficient data selection for supervised finetuning of LLMs."""
