"""The dataset's files, byte for byte: those who load it rely on columns, order and formats."""

import re
from pathlib import Path

from storage.dataset.memory import MemoryRepository
from storage.folder import DataFolder
from storage.vote import Rating
from tests.support.storage.desk import Desk

GENERATIONS = '''\
image_id,set_id,slot,shown_at,prompt,negative_prompt,seed,steps,guidance_scale,width_px,height_px,\
parent,strength,model,revision,scheduler,backend,device,dtype,versions,sha256,unsafe_score,withheld
set-0-1,set-0,1,2026-05-04T12:00:00.000000Z,"'=1+1, ""quoted""",',1,20,7.5,64,64,no,,\
tiny/model,0123abcd,PNDMScheduler,placeholder,cpu,float32,"{""pillow"": ""12.0""}",\
d36735b82bade649f1e4397986a349d9d61666b47533abd0441ee52a7abca7bc,0.123000,no
set-0-2,set-0,2,2026-05-04T12:00:00.000000Z,"'=1+1, ""quoted""",',2,20,7.5,64,64,no,,\
tiny/model,0123abcd,PNDMScheduler,placeholder,cpu,float32,"{""pillow"": ""12.0""}",\
28285a3f92126ab82a50511227e3d506eed20dc9ce801ecefa4088c09b903bb8,0.246000,no
set-0-3,set-0,3,2026-05-04T12:00:00.000000Z,"'=1+1, ""quoted""",',3,20,7.5,64,64,no,,\
tiny/model,0123abcd,PNDMScheduler,placeholder,cpu,float32,"{""pillow"": ""12.0""}",\
238c3eab48e7660b79afa6d763e84d64b463bb4ac135b29378b4767bee62b742,0.369000,classifier
set-0-4,set-0,4,2026-05-04T12:00:00.000000Z,"'=1+1, ""quoted""",',4,20,7.5,64,64,no,,\
tiny/model,0123abcd,PNDMScheduler,placeholder,cpu,float32,"{""pillow"": ""12.0""}",\
e677333ead8feea320d9421fc98949a31f93d2510a938e5cba9803e3cd38b2c9,0.492000,no
'''

TRAIN = '''\
prompt,path,rating,voter_id,image_id,set_id,slot,voted_at,seed,model,revision,\
server,own_request,shown_in,seconds,consent,reasons,gold,exposures,repeat
"'=1+1, ""quoted""",images/000/00000/set-0-1.png,good,1,set-0-1,set-0,1,\
2026-05-04T12:00:00.000000Z,1,tiny/model,0123abcd,PSEUDONYM,no,post,,not asked,not given,\
no,0,not repeated
'''


def test_the_files_of_one_set_with_a_vote_and_a_withheld_image(tmp_path: Path) -> None:
    repository = MemoryRepository()
    with Desk.open(DataFolder(tmp_path), lambda: repository) as desk:
        first, *_ = desk.show("set-0", prompt='=1+1, "quoted"', withheld=(3,))
        desk.vote(first, 1, Rating.GOOD)
        desk.settle()

    assert repository.files["generations/000/00000.csv"].decode() == GENERATIONS
    train = repository.files["train/000/00000.csv"].decode()
    [pseudonym] = re.findall(r",0123abcd,([a-z2-9]{12}),", train)  # chosen at random
    assert train == TRAIN.replace("PSEUDONYM", pseudonym)
