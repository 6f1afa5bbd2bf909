"""The page in Spanish: complete, by the browser's wish or a cookie, and never other than what English says."""

import re

import pytest

from tests.webapp.api.accounts_api import PASSWORD
from tests.webapp.ui import words
from tests.webapp.ui.pages import assert_no_finding, send, visible
from tests.webapp.ui.test_erase_study import form, study  # noqa: F401 - a fixture
from tests.webapp.ui.test_received import give_up, receive
from tests.webapp.ui.users import hidden, log_in
from webapp.ui.languages.findings import figures, finding, probability, timestamp
from webapp.ui.languages.said import coded, say, shown

SPANISH = {"Accept-Language": "es-MX,es;q=0.9,en;q=0.5"}


def test_words_are_english_as_a_text_and_spanish_for_people():
    said = say("{title}. {detail}", title=say("Not found"), detail=coded("problem", "busy", "Too many."))
    assert said == "Not found. Too many."
    assert shown(said, "es") == "No encontrado. Se están procesando demasiadas imágenes. Inténtelo de nuevo en breve."
    assert shown(coded("problem", "of-a-later-version", "Something new."), "es") == "Something new."
    assert shown(say("study {study}", study="{x}"), "es") == "estudio {x}"


def test_findings_and_numbers_are_written_as_in_spanish():
    rates = {"sensitivity": {"value": 0.957, "low": 0.9, "high": 0.98, "n": 90}, "specificity": None}
    point = {"name": "balanced", "validation": rates, "test": None}
    below = {"finding": "no pneumonia", "operating_point": point}
    above = {"finding": "pneumonia", "operating_point": point}
    assert finding(below, "es") == "por debajo del punto de operación equilibrado: sensibilidad 0,95 en validación"
    assert finding(above, "es") == "igual o superior al punto de operación equilibrado"
    assert finding({**below, "operating_point": None}, "es") == "por debajo del umbral"
    assert finding({**above, "operating_point": None}, "es") == "igual o superior al umbral"
    told = "En validación: sensibilidad 0,957 (de 0,900 a 0,980; n = 90); especificidad no medida."
    assert list(figures(point, "es")) == [told]
    assert [probability(value, 0.5, "es") for value in (0.25, 0.9999)] == ["0,250", "> 0,999"]
    assert timestamp("2026-01-02T03:04:05+02:00", "es") == "02/01/2026 01:04:05 UTC"
    assert timestamp("2026-01-02T03:04:05.678Z", "en") == "2026-01-02 03:04:05 UTC"
    with pytest.raises(ValueError, match="yesterday"):
        timestamp("yesterday", "es")


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("es", "es"),
        ("es-419,en;q=0.8", "es"),
        ("en-GB,es;q=0.5", "en"),
        ("fr", "en"),
        ("", "en"),
        ("fr,es;q=0.1", "es"),
    ],
)
def test_the_browser_chooses_the_language(page, wanted, language):
    assert f'<html lang="{language}">' in visible(page.get("/", headers={"Accept-Language": wanted}))


def test_a_choice_is_kept_and_leads_back(page):
    headers = {"Referer": "http://localhost/predictions?q=a"}
    answer = page.post("/language", data={"language": "es"}, headers=headers)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/predictions?q=a")
    assert re.search(r"^language=es; .*HttpOnly; Path=/; SameSite=Lax$", answer.headers["Set-Cookie"])
    assert '<html lang="es">' in visible(page.get("/", headers={"Accept-Language": "en"}))
    assert page.post("/language", data={"language": "xx"}).status_code == 400
    page.set_cookie("language", "../xx")
    assert '<html lang="en">' in visible(page.get("/"))


def test_the_language_can_be_chosen_before_the_login(users):
    browser = users.browser()
    assert browser.post("/language", data={"language": "es"}).status_code == 303
    text = visible(log_in(browser, "nobody"))
    assert "El nombre, la contraseña o el código son incorrectos." in text
    assert words.english_in(text) == []


def spanish(page, address: str, status: int = 200) -> str:
    """A page in Spanish, in which no English is left."""
    answer = page.get(address, headers=SPANISH)
    text = visible(answer)
    assert (answer.status_code, words.english_in(text)) == (status, []), address
    assert '<html lang="es">' in text
    return text


@pytest.fixture
def stored(page, clear_picture, opaque_picture) -> dict[str, str]:
    """The ids of a result of each kind, one of them reviewed."""
    files = {"clear": clear_picture, "opaque": opaque_picture, "refused": b"%PDF-1.7"}
    sent = {}
    for name, content in files.items():
        answer = send(page, (content, f"{name}.png"), headers={"Accept": "application/json"})
        sent[name] = answer.get_json()["predictions"][0]["id"]
    label = {"label": "pneumonia", "comment": "x"}
    assert page.post(f"/predictions/{sent['clear']}/feedback", data=label).status_code == 303
    return sent


def test_results_say_in_spanish_what_they_say_in_english(page, stored):
    opaque = spanish(page, f"/predictions/{stored['opaque']}")
    assert "El modelo encontró signos de neumonía" in opaque
    assert "Es la puntuación de un modelo, no un diagnóstico." in opaque
    clear = spanish(page, f"/predictions/{stored['clear']}?heatmap=1")
    assert "Por debajo del punto de operación equilibrado" in clear
    assert "La revisión contradice al modelo" in clear
    refused = spanish(page, f"/predictions/{stored['refused']}")
    assert "No evaluada: el archivo no se puede leer como una imagen" in refused
    assert "No hay ningún hallazgo para este archivo." in refused
    everything = spanish(page, "/predictions")
    for badge in ("Signos de neumonía", "Por debajo de: equilibrado", "No evaluada", "neumonía"):
        assert badge in everything
    spanish(page, "/results?" + "&".join(f"id={each}" for each in stored.values()))


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/", 200),
        ("/predictions?q=nothing&finding=refused&refusal=too_small&from=2026-01-01&to=2026-02-01&review=unread", 200),
        ("/predictions?study=ABCDEFGHIJKL&model=x", 200),
        ("/predictions?order=x", 400),
        ("/predictions?cursor=x", 400),
        ("/predictions?from=2026-02-30", 400),
        ("/predictions/" + "0" * 32, 404),
        ("/predictions/" + "0" * 32 + "/erase", 404),
        ("/erased?id=" + "0" * 32, 200),
        ("/erased", 400),
        ("/results?id=none", 400),
        ("/results?id=" + "0" * 32, 404),
        ("/nowhere", 404),
        ("/received", 200),
        ("/studies/ABCDEFGHIJKL/erase", 404),
        ("/studies/ABCDEFGHIJKL/erased", 200),
    ],
)
def test_other_pages_are_spanish_too(page, address, status):
    text = spanish(page, address, status)
    if status >= 400:
        assert_no_finding(text)
        assert "Error: " in text and "no dice nada sobre" in text


def test_pages_about_erasing_and_received_films_are_spanish(page, stored, api_app, redis_server):
    spanish(page, f"/predictions/{stored['clear']}/erase")
    receive(api_app, 1)
    assert "1 radiografía enviada por DICOM espera a ser evaluada" in spanish(page, "/predictions")
    give_up(api_app)
    assert "Error: 1 radiografía enviada por DICOM no tiene resultado." in spanish(page, "/predictions")
    assert "terminó varias veces. No tiene resultado." in spanish(page, "/received")
    spanish(page, "/")
    redis_server.client().delete(f"pneumo:1:image:{stored['clear']}")
    assert "Error: no se puede mostrar la imagen" in spanish(page, f"/predictions/{stored['clear']}")


def test_pages_of_accounts_are_spanish(users, result):
    browser = users.user("anna", "admin")
    browser.environ_base["HTTP_ACCEPT_LANGUAGE"] = "es"
    for address in ("/account", "/", "/predictions", result, f"{result}/erase", "/set-password?link=x", "/login"):
        spanish(browser, address)
    for action, sent in (("password", {"new": "a", "repeated": "b"}), ("codes", {"password": "wrong"})):
        text = visible(browser.post(f"/account/{action}", data=sent))
        assert words.english_in(text) == [] and "Error: " in text
    stranger = users.browser()
    stranger.environ_base["HTTP_ACCEPT_LANGUAGE"] = "es"
    kept = visible(stranger.post(f"{result}/feedback", data={"label": "unsure", "comment": "x"}))
    assert words.english_in(kept) == [] and "Lo que envió no se guardó." in kept
    fields = {"action": f"{result}/feedback", "kept.label": "unsure", "kept.comment": "x"}
    again = visible(log_in(stranger, "anna", **fields))
    assert words.english_in(again) == [] and "<dt>respuesta</dt><dd>dudoso</dd>" in again
    codes = browser.post("/account/codes", data={"password": PASSWORD})
    assert words.english_in(visible(codes)) == []
    wrong = visible(browser.post("/account/codes/confirmation", data={**hidden(codes), "code": "000000"}))
    assert words.english_in(wrong) == [] and "El código es incorrecto." in wrong


def test_pages_of_a_study_and_of_damaged_records_are_spanish(page, study, redis_server, clear_picture):  # noqa: F811
    ids = form(page, study)
    assert "¿Borrar todas las radiografías de este estudio?" in spanish(page, f"/studies/{study}/erase")
    assert "2 radiografías" in spanish(page, f"/predictions/{ids[0]}")
    spanish(page, f"/predictions?study={study}")
    spanish(page, f"/studies/{study}/erased")
    send(page, (clear_picture, "another.png"))
    again = re.search(r'data-id="(\w{32})"', visible(page.get("/predictions?q=another")))[1]
    assert "El mismo archivo también está guardado como" in spanish(page, f"/predictions/{again}")
    assert page.post(f"/predictions/{again}/feedback", data={"label": "unsure"}).status_code == 303
    redis_server.client().append(f"pneumo:1:record:{ids[0]}", b"x")
    assert "Error: 1 registro dañado sin resultado" in spanish(page, "/predictions")
    assert "1 registro dañado puede pertenecer" in spanish(page, f"/studies/{study}/erase")
    assert_no_finding(spanish(page, f"/predictions/{ids[0]}", 502))
    assert "Error: no se puede mostrar el resultado." in spanish(page, f"/predictions/{ids[0]}/erase")


def test_a_list_that_is_not_read_yet_is_no_empty_one_in_spanish_either(page_of_fake_api, fake_api):
    fake_api.status, fake_api.headers = 503, {"Retry-After": "5"}
    fake_api.body = b'{"detail": "The list is being read: 5 of 9 results so far.", "code": "list-not-read"}'
    text = visible(page_of_fake_api.get("/predictions", headers=SPANISH))
    assert words.english_in(text) == []
    assert "en 5 segundos" in text and "eso no significa que no haya ninguno" in text


@pytest.mark.parametrize("status", [400, 404, 429, 500, 502, 503, 507])
def test_an_error_of_the_api_is_an_error_in_spanish(page_of_fake_api, fake_api, status):
    fake_api.status, fake_api.body = status, b"no JSON"
    for address in ("/predictions", "/", "/predictions/" + "0" * 32):
        answer = page_of_fake_api.get(address, headers=SPANISH)
        assert words.english_in(visible(answer)) == []
        assert_no_finding(visible(answer))


def test_words_of_an_unknown_code_stay_english_and_an_error(page_of_fake_api, fake_api):
    fake_api.status, fake_api.body = 400, b'{"detail": "Something new.", "code": "of-a-later-version"}'
    text = visible(page_of_fake_api.get("/predictions", headers=SPANISH))
    assert "Error: No se entendió la petición" in text and "Something new." in text


def test_documents_for_programs_stay_english(page, stored, page_of_fake_api, fake_api):
    english = {"Accept": "application/json"}
    headers = {**SPANISH, **english}
    address = f"/predictions/{stored['refused']}"
    assert page.get(address, headers=headers).get_json() == page.get(address, headers=english).get_json()
    lines = page.get("/predictions.csv").get_data()
    assert page.get("/predictions.csv", headers=SPANISH).get_data() == lines
    fake_api.status, fake_api.body = 404, b"{}"
    problem = page_of_fake_api.get("/predictions", headers=headers).get_json()
    assert (problem["title"], problem["shown"]) == ("Not found", "No encontrado: Respondió con el estado 404.")
    assert "shown" not in page_of_fake_api.get("/predictions", headers=english).get_json()
