"""Attributes that tell who a patient is, taken out of what is exported (PS3.15 Annex E, the basic profile).

UIDs are retained, which the profile allows as an option: without them a segmentation would no longer belong to its
series. Dates go, as the profile asks.
"""

from typing import TYPE_CHECKING, Any

from unpaired.dicom.attributes import value

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

EMPTIED = (
    "PatientID PatientName PatientBirthDate PatientSex AccessionNumber StudyID StudyDate StudyTime "
    "ReferringPhysicianName ContentCreatorName SeriesDescription StructureSetDate StructureSetTime ROIInterpreter "
    "AcquisitionDateTime"
)
"""Have to be there, empty (profile: Z, and those of D and X that an object has to have)."""
REPLACED = {"ContentDate": "19000101", "ContentTime": "000000"}
"""May not be empty in every object (type 1, profile: D): a value that says nothing."""
REMOVED_GROUPS = (0x0010, 0x0032, 0x0038)
"""Patient, requests and visits: whatever of them isn't emptied goes. Private groups go, too."""
REMOVED = (
    "InstitutionName InstitutionAddress InstitutionalDepartmentName StationName OperatorsName PhysiciansOfRecord "
    "PerformingPhysicianName NameOfPhysiciansReadingStudy ConsultingPhysicianName RequestingPhysician "
    "StudyDescription ProtocolName AdmittingDiagnosesDescription DerivationDescription SeriesDate SeriesTime "
    "AcquisitionDate AcquisitionTime InstanceCreationDate InstanceCreationTime InstanceCreatorUID "
    "TimezoneOffsetFromUTC ContributingEquipmentSequence RequestAttributesSequence OtherPatientIDs "
    "ReferencedPatientSequence ReferencedStudySequence IssuerOfPatientID ImageComments ClinicalTrialSponsorName "
    "ClinicalTrialProtocolID ClinicalTrialProtocolName ClinicalTrialSiteID ClinicalTrialSiteName "
    "ClinicalTrialSubjectID ClinicalTrialSubjectReadingID PerformedProcedureStepDescription PerformedProcedureStepID "
    "PerformedProcedureStepStartDate PerformedProcedureStepStartTime StructureSetName StructureSetDescription "
    "ROIDescription ROIGenerationDescription ROIObservationLabel ReviewDate ReviewTime ReviewerName "
    "DateOfSecondaryCapture TimeOfSecondaryCapture SecondaryCaptureDeviceID"
)
METHODS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
    ("113110", "Retain UIDs Option"),
)
"""Descriptors are clean: names of classes, regions and the program are those of a run, not of a patient."""
METHOD = "Basic profile, clean descriptors, UIDs retained"


def is_deidentified(elements: Any) -> bool:
    """Whether an object says that `deidentify` was done to it."""
    return str(value(elements, "DeidentificationMethod") or "") == METHOD


def deidentify(dataset: "Dataset") -> None:
    """Empty or remove what the basic profile names, at every depth, and say in the object that it was done.

    The object and its series get UIDs of their own, so that no archive takes it for the one with the identity; all that
    it refers to keeps its UIDs.
    """
    from pydicom.datadict import tag_for_keyword
    from pydicom.uid import generate_uid

    emptied = {tag_for_keyword(word) for word in EMPTIED.split()}
    removed = {tag_for_keyword(word) for word in REMOVED.split()}
    replaced = {tag_for_keyword(word): content for word, content in REPLACED.items()}

    def clean(inside: Any) -> None:
        for element in list(inside):
            tag = element.tag
            if tag in emptied:
                element.value = ""
            elif tag in replaced:
                element.value = replaced[tag]
            elif tag in removed or tag.group in REMOVED_GROUPS or tag.is_private:
                del inside[tag]
            elif element.VR == "SQ":
                for item in element.value:
                    clean(item)

    clean(dataset)
    _say_so(dataset)
    for word in ("SOPInstanceUID", "SeriesInstanceUID"):
        setattr(dataset, word, generate_uid(entropy_srcs=["without identity", str(dataset[word].value)]))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def _say_so(dataset: Any) -> None:
    from pydicom.dataset import Dataset

    methods = []
    for code, meaning in METHODS:
        method = Dataset()
        method.CodeValue, method.CodingSchemeDesignator, method.CodeMeaning = code, "DCM", meaning
        methods.append(method)
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = METHOD
    dataset.DeidentificationMethodCodeSequence = methods
    dataset.LongitudinalTemporalInformationModified = "REMOVED"
