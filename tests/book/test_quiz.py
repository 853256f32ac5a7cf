"""The quiz: questions on every chapter, and nothing but knowledge tells the right option."""

import re
from collections import Counter
from dataclasses import dataclass

import pytest

from tools import ROOT
from tools.contents import read_contents
from tools.markdown import Directive, read

QUIZ = ROOT / "appendix" / "quiz.md"
LETTERS = "ABCD"


@dataclass(frozen=True)
class Question:
    part: str
    number: int
    levels: list[str]
    options: list[tuple[str, str]]  # a letter and its text
    answers: list[tuple[str, str]]  # the right letter and the explanation

    def lengths(self) -> tuple[int, list[int]]:
        """Return the length of the right option, and those of the wrong ones."""
        shown = {letter: len(text.replace("`", "")) for letter, text in self.options}
        return shown.pop(self.answers[0][0]), list(shown.values())


def answer(box: Directive) -> tuple[str, str]:
    return re.match(r"\*\*(\w)\.\*\* (.+)", box.body, re.DOTALL).groups()


def read_quiz() -> list[Question]:
    found = []
    for section in re.split(r"^## ", QUIZ.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        part, *questions = re.split(r"^### ", section, flags=re.MULTILINE)
        for text in questions:
            stem, _, rest = text.partition("\n- **")
            found.append(
                Question(
                    part.strip(),
                    int(text.partition(".")[0]),
                    re.findall(r"\((easy|medium|hard)\)$", stem, re.MULTILINE),
                    re.findall(r"^- \*\*(\w)\.\*\* (.+)$", "- **" + rest, re.MULTILINE),
                    [answer(box) for box in read(text).named("dropdown")],
                )
            )
    return found


CHAPTERS = [entry for entry in read_contents(ROOT) if entry.question]
QUESTIONS = read_quiz()
PARTS = list(dict.fromkeys(question.part for question in QUESTIONS))
each = pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: str(question.number))


def test_the_parts_are_those_of_the_book_and_questions_are_numbered_in_order() -> None:
    assert list(dict.fromkeys(chapter.part for chapter in CHAPTERS)) == PARTS
    assert [question.number for question in QUESTIONS] == list(range(1, len(QUESTIONS) + 1))


@each
def test_a_question_has_a_level_four_options_and_one_answer(question: Question) -> None:
    assert len(question.levels) == len(question.answers) == 1
    assert "".join(letter for letter, _ in question.options) == LETTERS
    assert len({text for _, text in question.options}) == 4
    assert question.answers[0][0] in LETTERS


@each
def test_an_answer_says_which_wrong_option_tempts(question: Question) -> None:
    [(right, text)] = question.answers
    tempting = re.findall(r"\*\*(\w)\*\* tempts because", text)
    assert len(tempting) == 1 and tempting[0] in LETTERS.replace(right, "")


@each
def test_an_answer_leads_to_a_section_of_a_chapter_of_its_part(question: Question) -> None:
    [(_, text)] = question.answers
    [file] = re.findall(r"^See \[.+\]\(\.\./(\S+)#[\w-]+\)\.$", text, re.MULTILINE)
    assert ROOT / file in [c.path for c in CHAPTERS if c.part == question.part]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_asks_at_every_level_and_uses_every_letter_alike(part: str) -> None:
    questions = [question for question in QUESTIONS if question.part == part]
    levels = {level for question in questions for level in question.levels}
    assert levels == {"easy", "medium", "hard"}
    right = Counter(letter for question in questions for letter, _ in question.answers)
    share = len(questions) / len(LETTERS)
    assert all(abs(right[letter] - share) < 1 for letter in LETTERS)


def test_the_letters_do_not_give_an_answer_away() -> None:
    right = "".join(letter for question in QUESTIONS for letter, _ in question.answers)
    assert not re.search(r"(.)\1\1", right)
    assert not re.search(r"(.{4})\1", right)


def test_the_length_of_an_option_does_not_give_the_answer_away() -> None:
    lengths = [question.lengths() for question in QUESTIONS]
    longest = sum(right > max(wrong) for right, wrong in lengths)
    shortest = sum(right < min(wrong) for right, wrong in lengths)
    assert longest <= len(QUESTIONS) / 3 and shortest <= len(QUESTIONS) / 3
    assert abs(longest - shortest) <= len(QUESTIONS) / 8
