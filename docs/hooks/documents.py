"""Makes pages of the site from the documents that lie elsewhere in the repository, and points links to them."""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    "README.md": "index.md",
    "docker/README.md": "containers.md",
    "calibration/README.md": "calibration_folder.md",
    "checkpoints/demo/README.md": "demo_checkpoint.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
}
"""Path in the repository to the page of the site."""
SOURCES = {page: path for path, page in DOCUMENTS.items()}
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of `DOCUMENTS`."""
    for path, page in DOCUMENTS.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between documents, which hold in the repository, become links between pages of the site."""
    name = page.file.src_uri
    if name.startswith("reference/"):
        return markdown
    folder = os.path.dirname(SOURCES.get(name, f"docs/{name}"))
    return LINK.sub(lambda link: relink(link, folder), markdown)


def relink(link: re.Match[str], folder: str) -> str:
    """A link from a document in `folder` as the site needs it; of a file that is no page the text remains."""
    text, target, heading = link[1], link[2], link[3] or ""
    if "://" in target:
        return link[0]
    path = os.path.normpath(os.path.join(folder, target))
    if path.startswith("docs/"):
        return f"[{text}]({path.removeprefix('docs/')}{heading})"
    return f"[{text}]({DOCUMENTS[path]}{heading})" if path in DOCUMENTS else text
