from __future__ import annotations

import pytest

from lungseg.data.sources.v7_tags import facts_of


def test_tags_of_an_adult_give_all_facts():
    facts = facts_of(["X-ray", "View/PA", "Viral Pneumonia", "COVID-19", "Age:73", "Sex/F", "PatientID:313b"], "a.png")
    assert (facts.label, facts.view, facts.sex, facts.age) == ("covid-19", "PA", "F", 73.0)
    assert (facts.patient, facts.kind) == ("313b", None)


@pytest.mark.parametrize(
    ("name", "patient", "label"),
    [
        ("person12_virus_34.jpeg", "person12", "viral pneumonia"),
        ("person12_bacteria_35.jpeg", "person12", "bacterial pneumonia"),
        ("IM-0115-0001.jpeg", "im-0115", "normal"),
        ("NORMAL2-IM-1219-0001-0002.jpeg", "normal2-im-1219", "normal"),
        ("16708_1_1.jpg", None, None),
    ],
)
def test_the_file_name_of_a_child_gives_patient_and_class(name, patient, label):
    facts = facts_of([], name)
    assert (facts.patient, facts.label) == (patient, label)


@pytest.mark.parametrize(
    ("tags", "view", "kind"),
    [
        (["View/AP_Supine"], "AP", None),
        (["View/AP Supine"], "AP", None),
        (["View/Lateral"], "L", "lateral"),
        (["View/L"], "L", "lateral"),
        (["CT", "View/Axial"], "CT", "ct"),
        (["CT"], "CT", "ct"),
        (["View/Coronal"], "CT", "ct"),
        (["View/oblique"], None, None),
        ([], None, None),
    ],
)
def test_views_are_named_in_one_way_and_say_what_is_no_frontal_radiograph(tags, view, kind):
    facts = facts_of(tags, "a.png")
    assert (facts.view, facts.kind) == (view, kind)


@pytest.mark.parametrize(
    ("tags", "label"),
    [
        (["No Pneumonia (healthy)"], "normal"),
        (["Undefined Pneumonia"], "pneumonia"),
        (["Fungal Pneumonia", "Pneumocystis"], "fungal pneumonia"),
        (["Tuberculosis"], None),
    ],
)
def test_the_class_is_the_most_telling_tag(tags, label):
    assert facts_of(tags, "a.png").label == label


def test_a_tag_outweighs_the_file_name():
    assert facts_of(["Bacterial Pneumonia", "PatientID:9"], "person1_virus_2.jpeg").label == "bacterial pneumonia"
    assert facts_of(["PatientID:9"], "person1_virus_2.jpeg").patient == "9"


def test_what_is_not_understood_is_unknown():
    facts = facts_of(["Age:adult", "Sex/other thing", "PatientID:"], "a.png")
    assert (facts.age, facts.sex, facts.patient) == (None, None, None)
