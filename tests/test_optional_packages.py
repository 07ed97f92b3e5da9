"""Packages of extras: given where they are there, named with their extra where they are not."""

import json

import pytest

from eels_bayes.optional_packages import needed


def test_a_module_that_is_there_is_given():
    assert needed("json", "structures", "a structure") is json
    assert needed("json.decoder", "structures", "a structure") is json.decoder


def test_the_extra_of_one_that_is_not_is_named():
    words = r"relaxation needs absent_package: pip install 'eels-bayes\[relax\]' \(No module named"
    with pytest.raises(ImportError, match=words):
        needed("absent_package.model", "relax", "relaxation")
