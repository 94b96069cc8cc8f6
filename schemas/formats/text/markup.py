"""Links and fences of Markdown, Jira and Slack in a text: the words stay, the addresses go."""

import re
from collections import Counter

# Each pattern stops at the character that it begins with, so that its search is linear.
_MARKDOWN_IMAGE = re.compile(
    r"!\[[^\[\]\n]{0,300}\]\([^\s()\[\]]{1,2000}(?:\s+\"[^\"\n\[\]]*\")?\)"
)
_MARKDOWN_LINK = re.compile(
    r"\[([^\[\]\n]{1,300})\]\(<?(?:https?://|mailto:|/|#)[^\s()\[\]]*(?:\([^\s()\[\]]*\))?[^\s()\[\]]*"
    r"(?:\s+\"[^\"\n\[\]]*\")?\)"
)
_JIRA_LINK = re.compile(r"\[([^\[\]|\n]{1,300})\|(?:https?://|mailto:)[^\[\]\s]*\]")
_JIRA_IMAGE = re.compile(
    r"!(?=[^\s!|])[^!|\n]{1,200}\.(?:png|jpe?g|gif|bmp|svg|webp)(?:\|[^!\n]{0,100})?!"
)
_JIRA_FENCE = re.compile(r"\{(code|noformat|quote|panel|color)(?::[^{}\n]{0,200})?\}")
_SLACK = re.compile(
    r"<(?:(?:https?://|mailto:|tel:)[^<>|\s]+\|([^<>|\n]+)|([@#!])([^<>|\s]+)(?:\|([^<>\n]*))?)>"
)
_SLACK_ADDRESS = re.compile(r"<((?:https?://|mailto:)[^<>|\s]+)>")
_FENCE = re.compile(r"^[ \t]{0,3}(?:```|~~~)[\w+.# -]{0,40}$\n?", re.MULTILINE)
_INLINE_FENCE = "```"


def without_targets(text: str) -> str:
    """Drop fences, images and the targets of links that have words of their own.

    A text without such markup is returned as it is.
    """
    if "](" in text:
        text = _MARKDOWN_IMAGE.sub("", text)
        text = _MARKDOWN_LINK.sub(r"\1", text)
    if "|http" in text or "|mailto" in text:
        text = _JIRA_LINK.sub(r"\1", text)
    if "!" in text and "." in text:
        text = _JIRA_IMAGE.sub("", text)
    if "{" in text:
        text = _without_fences(text)
    if "```" in text or "~~~" in text:
        text = _FENCE.sub("", text).replace(_INLINE_FENCE, "")
    if "<" in text and "|" in text:
        text = _SLACK.sub(_slack, text)
    return text


def mrkdwn(text: str) -> str:
    """The words of a text in Slack's mrkdwn, where every ``<``, ``>`` and ``&`` is escaped."""
    if "<" in text:
        text = _SLACK.sub(_slack, text)
        text = _SLACK_ADDRESS.sub(r"\1", text)
    text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return _FENCE.sub("", text).replace(_INLINE_FENCE, "")


def _without_fences(text: str) -> str:
    """Drop the fences of Jira. A single `{code}` is rather a place in a template."""
    counts = Counter(match[1] for match in _JIRA_FENCE.finditer(text))
    return _JIRA_FENCE.sub(lambda match: "" if counts[match[1]] > 1 else match[0], text)


def _slack(match: re.Match[str]) -> str:
    label, sign, name, alias = match.groups()
    if label is not None:
        return label
    if sign == "#":
        return f"#{alias or name}"
    # A bare id of a user says nothing to a reader.
    return f"@{alias or (name if sign == '!' else 'user')}"
