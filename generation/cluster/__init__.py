"""Workers on other hosts, by Ray: one actor for each GPU.

Of Ray it uses hosts, actors and what each needs; not its queues and not its retries. Ray itself is
imported in processes of its own: one beside the bot, and one for each worker.
"""
