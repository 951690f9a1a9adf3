_base_ = "imagenet_deepcluster.py"

# Photographs of YFCC100M that the list names, 95,920,149 in the paper: one path a line, relative to
# root. Files that cannot be decoded are left out, counted and listed in `unreadable.txt`.
dataset = dict(
    _delete_=True,
    type="ImageList",
    list_file="data/yfcc100m/images.txt",
    root="data/yfcc100m/images",
    unreadable="skip",
)
