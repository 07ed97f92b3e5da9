"""What notebooks show: the right numbers, and every name as text."""

from html.parser import HTMLParser

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes.word_tables import html_table

CELLS = {"td", "th", "li"}
NAME = "<b>a</b> & 'b'"


class Cells(HTMLParser):
    """The cells of tables and lists, and whether all tags are closed."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.open = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag in CELLS:
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if CELLS & set(self.open):
            self.cells[-1] += data


def cells(shown):
    parsed = Cells(shown)
    assert not parsed.open
    return parsed.cells


def test_whatever_is_said_is_text():
    said = cells(html_table([(NAME, NAME)], [(NAME,), (NAME,)], bad=[NAME], notes=[NAME]))
    assert said == [NAME] * 6


def test_a_library_shows_its_classes():
    said = cells(eb.FingerprintLibrary.example()._repr_html_())
    k = said.index("25 % F")
    assert said[k + 1] == "3" and float(said[k + 3]) == 0.25
    assert "801 channels, 600 to 800 eV" in said and "fluorine fraction" in said
    energy = np.arange(10.0)
    plain = eb.FingerprintLibrary.from_arrays(energy, np.eye(2, 10), [NAME, "b"], source=NAME)
    said = cells(plain._repr_html_())
    assert said.count(NAME) == 2 and "value" not in said


def test_spectra_show_their_images_and_flags(spectra):
    said = cells(spectra._repr_html_())
    k = said.index(spectra.images[2].title)
    assert said[k + 1 : k + 4] == ["10 x 8", "80", str(int(spectra.ok[spectra.image == 2].sum()))]
    shift = spectra.shift[spectra.ok & (spectra.image == 2)].mean()
    assert float(said[k + 4]) == pytest.approx(shift, abs=0.006)
    many = eb.Spectra.concatenate([spectra] * 1)
    assert len(cells(many._repr_html_())) == len(said)


def test_a_classifier_shows_where_it_comes_from(quick_classifier):
    said = cells(quick_classifier._repr_html_())
    assert quick_classifier.provenance.model in said and "50 % F" in said
    assert all(problem in said for problem in quick_classifier.report().problems)
    new = eb.EELSClassifier(eb.FingerprintLibrary.example(), effort=eb.Effort.quick())
    said = cells(new._repr_html_())
    assert "not fitted" in said and "quick" in said
