"""Text files of a data set: lines in any Unicode encoding, and lists of image ids as the field writes them.

A line of a list is an id, alone (`2007_000032`), with the ending of a file (`2007_000032.jpg`), as a path
(`JPEGImages/2007_000032.jpg`), or as the paths of image and label of that id, as in DeepLab's lists
(`/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png`).
"""

import codecs
import re
from pathlib import Path

MARKS = {  # byte order marks; UTF-32's begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
ENDINGS = re.compile(r"\.(jpe?g|png|bmp|tiff?|webp|xml|npy|npz)$", re.IGNORECASE)  # of images, labels and what is made of them


def read_text_file(path):
    """The text of a file in UTF-8, or in UTF-16 or 32 with a byte order mark; FileNotFoundError or ValueError name the file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such text file")
    data = path.read_bytes()
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        place = f"line {data[: error.start].count(10) + 1}: byte 0x{data[error.start]:02x}"
        raise ValueError(f"{path}: not a UTF-8 text file ({place}); if it is in Latin-1, save it as UTF-8") from None
    if "\0" in text:
        raise ValueError(f"{path}: not a UTF-8 text file (it holds zero bytes, as UTF-16 without a byte order mark does)")
    return text.replace("\ufeff", "")  # marks stand inside, too, where files were joined


def read_lines(path):
    """(line number from 1, stripped text) of the lines of a text file that are not blank."""
    numbered = enumerate(map(str.strip, re.split("\r\n|\r|\n", read_text_file(path))), 1)
    return [(number, line) for number, line in numbered if line]


def image_id(text):
    """The id in a word of a list, or in the key of a table of tags: without folders and without the ending of a file."""
    return ENDINGS.sub("", re.split(r"[/\\]", text.strip())[-1])


def find_list(name, root):
    """Path of a list of the data set in folder `root`: ImageSets/Segmentation/NAME.txt, or `name` where that is a text file's.

    `name` may end in .txt, and a path may start at `root`. FileNotFoundError names the lists there are.
    """
    folder = Path(root) / "ImageSets" / "Segmentation"
    places = [folder / f"{name}.txt", folder / name, Path(name), Path(root) / name]
    path = next((place for place in places if place.is_file()), None)
    if path is not None:
        return path
    if "/" in str(name):
        raise FileNotFoundError(f"list '{name}': no such file, neither from here nor from {root}")
    found = ", ".join(sorted(entry.stem for entry in folder.glob("[!.]*.txt"))) or "none"
    beside = Path(root) / "ImageSets" / "Main" / f"{name}.txt"
    found += f"; there is {beside}, give its path" if beside.is_file() else ""
    raise FileNotFoundError(f"list '{name}': neither {places[0]} nor a file of that name exists; lists there: {found}")


def read_id_file(path):
    """The ids of a list, in its order; FileNotFoundError or ValueError name file and line, what was found and expected."""
    seen = {}
    for number, line in read_lines(path):
        line = re.split(r"(?:^|\s)#", line)[0].strip()  # a comment
        if not line:
            continue
        names = {image_id(word) for word in line.split()}
        if len(names) != 1 or not min(names):
            hint = "; lists of one class hold 1, 0 or -1 beside each id" if re.search(r"\s-?[01]$", line) else ""
            raise ValueError(f"{path}, line {number}: expected one image id, or its paths, found {line!r}{hint}")
        name = names.pop()
        if name in seen:
            raise ValueError(f"{path}, line {number}: id '{name}' was in line {seen[name]} already")
        seen[name] = number
    if not seen:
        raise ValueError(f"{path}: the list is empty, expected one image id a line")
    return list(seen)
