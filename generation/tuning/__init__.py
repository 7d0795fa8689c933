"""`oxherd tune`: from pairs that people voted on to a LoRA (Hu et al., 2021) of a model.

Runs in processes of its own, one a device, which `launch.py` starts. The bot's processes import
nothing of it; they load what it wrote (generation/lora_folder.py).
"""
