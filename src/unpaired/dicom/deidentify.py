"""Attributes that tell who a patient is, taken out of what is exported (PS3.15 Annex E, the basic profile).

UIDs are retained, which the profile allows as an option: without them a segmentation would no longer belong to its
series. Dates go, as the profile asks.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

EMPTIED = (
    "PatientID PatientName PatientBirthDate PatientSex AccessionNumber StudyID StudyDate StudyTime ContentDate "
    "ContentTime ReferringPhysicianName ContentCreatorName SeriesDescription"
)
"""Have to be there, empty (profile: Z, and those of D and X that an object has to have)."""
REMOVED_GROUPS = (0x0010, 0x0032, 0x0038)
"""Patient, requests and visits: whatever of them isn't emptied goes. Private groups go, too."""
REMOVED = (
    "InstitutionName InstitutionAddress InstitutionalDepartmentName StationName OperatorsName PhysiciansOfRecord "
    "PerformingPhysicianName NameOfPhysiciansReadingStudy ConsultingPhysicianName RequestingPhysician "
    "StudyDescription ProtocolName AdmittingDiagnosesDescription DerivationDescription SeriesDate SeriesTime "
    "AcquisitionDate AcquisitionTime AcquisitionDateTime InstanceCreationDate InstanceCreationTime "
    "TimezoneOffsetFromUTC ContributingEquipmentSequence RequestAttributesSequence OtherPatientIDs "
    "ReferencedPatientSequence ReferencedStudySequence IssuerOfPatientID ImageComments ClinicalTrialSponsorName "
    "ClinicalTrialProtocolID ClinicalTrialProtocolName ClinicalTrialSiteID ClinicalTrialSiteName "
    "ClinicalTrialSubjectID PerformedProcedureStepDescription PerformedProcedureStepID "
    "PerformedProcedureStepStartDate PerformedProcedureStepStartTime"
)
METHODS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113110", "Retain UIDs Option"),
)


def deidentify(dataset: "Dataset") -> None:
    """Empty or remove what the basic profile names, at every depth, and say in the object that it was done."""
    from pydicom.datadict import tag_for_keyword

    emptied = {tag_for_keyword(word) for word in EMPTIED.split()}
    removed = {tag_for_keyword(word) for word in REMOVED.split()}

    def clean(inside: Any) -> None:
        for element in list(inside):
            tag = element.tag
            if tag in emptied:
                element.value = ""
            elif tag in removed or tag.group in REMOVED_GROUPS or tag.is_private:
                del inside[tag]
            elif element.VR == "SQ":
                for item in element.value:
                    clean(item)

    clean(dataset)
    _say_so(dataset)


def _say_so(dataset: Any) -> None:
    from pydicom.dataset import Dataset

    methods = []
    for value, meaning in METHODS:
        method = Dataset()
        method.CodeValue, method.CodingSchemeDesignator, method.CodeMeaning = value, "DCM", meaning
        methods.append(method)
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Basic profile, UIDs retained"
    dataset.DeidentificationMethodCodeSequence = methods
    dataset.LongitudinalTemporalInformationModified = "REMOVED"
