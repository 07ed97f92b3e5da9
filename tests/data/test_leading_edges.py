"""The edge by which each element is recognised, of those between two energies."""

from eels_bayes.data.tabulated_edges import edges_between, leading_edges


def test_an_element_is_named_by_one_edge_of_a_range():
    found = leading_edges(300.0, 2000.0)
    names = [edge.name for edge in found]
    assert {"O_K", "Mn_L3", "Cu_L3", "Zn_L3", "La_M5"} <= set(names)
    assert not {"Mn_L2", "La_M4", "Pu_N6", "Ag_M5"} & set(names)  # silver's begins slowly
    assert set(found) < set(edges_between(300.0, 2000.0))
    onsets = [edge.onset for edge in found]
    assert onsets == sorted(onsets) and 300 <= onsets[0] <= onsets[-1] <= 2000


def test_a_range_may_hold_none():
    assert leading_edges(460.0, 500.0) == []
