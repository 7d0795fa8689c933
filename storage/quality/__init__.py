"""How far the labels can be trusted: what each image probably is, and how reliable each voter is.

`export`, `report` and the command line import it; it imports `reading` and the rooms below. Nothing
here changes a vote: all of it is beside the votes, and can be made anew.
"""
