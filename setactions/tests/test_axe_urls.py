"""Every page of the site as everybody sees it, looked at with axe-core."""

import pytest

from setactions.tests.test_access import ROLES, ROWS, client_of, path_of, people  # noqa: F401 (fixtures)

pytestmark = [pytest.mark.chromium, pytest.mark.axe, pytest.mark.pages]


def test_every_page_is_for_everybody(accessible, people, path_of):  # noqa: F811
    for route in ROWS:
        path = path_of(route)
        for role in ROLES:
            answer = client_of(people, role).get(path)
            if (
                answer.get("Content-Type", "").startswith("text/html")
                and answer.status_code == 200
                and "<html" in answer.content.decode()
            ):
                accessible(answer)
