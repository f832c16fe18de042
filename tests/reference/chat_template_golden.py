"""Renders conversations with the published chat templates, as `transformers` does: the golden values of
tests/model/chat_template_test.cc.

  python tests/reference/chat_template_golden.py NAME=FILE.jinja ... > tests/model/data/chat_template_golden.json

FILE holds a model's chat_template as published, to the byte; NAME is Ponder's name of it.
"""

import json
import sys

from transformers.utils.chat_template_utils import render_jinja_template


def turns(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


CONVERSATIONS = [
    turns(("user", "What is 17 * 3?")),
    turns(("system", "Be brief."), ("user", "Hi")),
    turns(("system", ""), ("user", "")),
    turns(("user", "  spaces \n\n"), ("assistant", "\n\nOh\u00a0"), ("user", "\x1cfour\u3000 ")),
    turns(("user", "1 + 1?"), ("assistant", "<think>\none and one\n</think>\n\n2"), ("user", "2 + 2?"),
          ("assistant", "<think>\ntwo and two\n</think>\n\n4")),
    turns(("user", "q"), ("assistant", "plain answer")),
    turns(("user", "q"), ("assistant", "first"), ("assistant", "<think>a<think>\nb\n\n</think>x</think>\n\ny\n")),
    turns(("user", "q"), ("assistant", "<think>c</think>call"), ("user", "<tool_response>\n3\n</tool_response>"),
          ("assistant", "done")),
    turns(("assistant", "I begin")),
    turns(("system", "only a system turn {content}")),
    turns(("user", "{content} {{ messages }} <|im_end|> é 👩‍👩‍👧")),
]


def main():
    rendered = {}
    for argument in sys.argv[1:]:
        name, path = argument.split("=", 1)
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
        render = lambda opens_answer: render_jinja_template(
            conversations=[list(c) for c in CONVERSATIONS], chat_template=text, add_generation_prompt=opens_answer,
            bos_token="<|begin_of_text|>")[0]
        closed, opened = render(False), render(True)
        opening = opened[0][len(closed[0]):]
        assert opened == [one + opening for one in closed]
        rendered[name] = {"opening": opening, "texts": closed}
    print(json.dumps({"conversations": CONVERSATIONS, "rendered": rendered}, indent=1))


if __name__ == "__main__":
    main()
