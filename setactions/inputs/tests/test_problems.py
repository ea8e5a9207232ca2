"""How problems of a list become sentences: one for each cause, with the first places and a count."""

from setactions.inputs.problems import Problems


def sentences(*added, unit="Line"):
    problems = Problems(unit)
    for problem in added:
        problems.add(*problem)
    return list(problems), problems.count


def test_one_place_is_named_and_two_are_named_together():
    assert sentences((3, "No.")) == (["Line 3: No."], 1)
    assert sentences((3, "No."), (1_007, "No.")) == (["Lines 3 and 1,007: No."], 2)
    assert sentences((3, "No."), (4, "No."), (5, "No."), unit="Item") == (["Items 3, 4 and 5: No."], 3)


def test_of_many_places_the_first_ten_are_named_in_their_order_and_the_others_counted():
    places = [*range(2_000, 1, -1)]
    [sentence], count = sentences(*((place, "No.") for place in places))
    assert (sentence, count) == ("Lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 1,989 more: No.", 1_999)


def test_causes_stand_in_the_order_of_their_first_places_and_the_list_as_a_whole_comes_first():
    added = (7, "Late."), (9, "Later."), (2, "Later."), (0, "All of it.")
    assert sentences(*added) == (["All of it.", "Lines 2 and 9: Later.", "Line 7: Late."], 4)


def test_what_differs_between_places_is_listed_once_each():
    added = (2, "Not {}.", "a"), (3, "Not {}.", "b"), (4, "Not {}.", "a"), (5, "Not {}.", "{}")
    assert sentences(*added)[0] == ["Lines 2, 3, 4 and 5: Not a, b or {}."]
    many = [(number, "Not {}.", f"x{number % 2}") for number in range(1, 13)]
    assert sentences(*many)[0] == ["Lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more: Not x1 or x0."]
    many = [(number, "Not {}.", f"{number}") for number in range(1, 12)]
    assert sentences(*many)[0][0].endswith(": Not 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 or others.")


def test_several_problems_of_one_place_count_as_one_and_are_said_to_be_several():
    assert sentences((1, "No."), (1, "No."), (1, "No.")) == (["Line 1 (3 times): No."], 1)
    assert sentences((1, "No."), (1, "Neither.")) == (["Line 1: No.", "Line 1: Neither."], 1)
