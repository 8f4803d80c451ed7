"""The table of common organs, tissues and lesions: names in data sets, SNOMED CT code, display color.

Only terms that DICOM's own context groups hold are used (PS3.16), which SNOMED International lets anybody use in DICOM.
Where these have no term for a structure, the next wider one stands, marked `wider`: the segment's label still tells.
"""

from dataclasses import dataclass

from unpaired.data.class_codes import ANATOMY, Code

Color = tuple[int, int, int]
ALTERED = Code("49755003", "Morphologically Abnormal Structure")
TISSUE = Code("85756007", "Tissue")
LEFT = Code("7771000", "Left")
RIGHT = Code("24028007", "Right")
MYOCARDIUM = Code("49848007", "Left Ventricle Myocardium")
BONE, MUSCLE, ARTERY, VEIN = (241, 214, 145), (192, 104, 88), (216, 101, 79), (0, 151, 206)


@dataclass(frozen=True)
class Structure:
    """A row of the table. `paired`: there is a left and a right one; `wider`: the term says less than the name."""

    name: str
    code: Code
    color: Color
    synonyms: tuple[str, ...] = ()
    paired: bool = False
    wider: bool = False
    category: Code = ANATOMY
    region: Code | None = None


def _row(
    name: str, value: str, meaning: str, color: Color, synonyms: str = "", *, paired: bool = False, wider: bool = False
) -> Structure:
    """A structure of the body; `synonyms` are separated by commas."""
    names = tuple(synonym.strip() for synonym in synonyms.split(",") if synonym.strip())
    return Structure(name, Code(value, meaning), color, names, paired, wider)


HEART = (
    _row("left ventricle", "87878005", "Left ventricle", (220, 50, 47), "LV, lvc, lv cavity, lv blood pool, lv endo, "
         "left ventricular blood pool, left ventricular cavity, heart ventricle left, left heart ventricle"),
    _row("right ventricle", "53085002", "Right ventricle", (38, 139, 210), "RV, rvc, rv cavity, rv blood pool, "
         "right ventricular blood pool, right ventricular cavity, heart ventricle right, right heart ventricle"),
    _row("myocardium", MYOCARDIUM.value, MYOCARDIUM.meaning, (133, 183, 60), "myo, lv myo, lvm, lv myocardium, "
         "myocardium of the left ventricle, left ventricular myocardium, heart myocardium"),
    _row("left atrium", "82471001", "Left atrium", (211, 84, 180), "LA, heart atrium left, left atrial blood pool, "
         "left heart atrium, la blood pool"),
    _row("right atrium", "73829009", "Right atrium", (108, 113, 196), "RA, heart atrium right, ra blood pool, "
         "right atrial blood pool, right heart atrium"),
    _row("left atrial appendage", "33626005", "Left auricular appendage", (224, 130, 200),
         "LAA, atrial appendage left"),
    _row("heart", "80891009", "Heart", (206, 110, 84), "whole heart"),
    _row("aorta", "15825003", "Aorta", (224, 97, 76), "AO, ao"),
    _row("ascending aorta", "54247002", "Ascending aorta", (235, 130, 60), "AA, aorta ascending"),
    _row("aortic arch", "57034009", "Aortic arch", (230, 115, 70)),
    _row("descending aorta", "32672002", "Descending aorta", (218, 88, 80), "DA, aorta descending"),
    _row("pulmonary artery", "81040000", "Pulmonary artery", (0, 122, 171), "PA, pulmonary arteries"),
    _row("pulmonary vein", "122972007", "Pulmonary vein", (186, 77, 64), "PV, pulmonary veins"),
    _row("superior vena cava", "48345005", "Superior vena cava", (0, 160, 200), "SVC"),
    _row("coronary artery", "41801008", "Coronary artery", (240, 160, 100), "coronary arteries, coronaries"),
    _row("pericardium", "76848001", "Pericardium", (255, 244, 209)),
    _row("mitral valve", "91134007", "Mitral Valve", (159, 63, 27)),
    _row("aortic valve", "34202007", "Aortic Valve", (172, 88, 50)),
    _row("tricuspid valve", "46030003", "Tricuspid valve", (140, 80, 90)),
    _row("pulmonary valve", "39057004", "Pulmonary valve", (100, 120, 160)),
)  # fmt: skip
LESIONS = (
    Structure("scar", Code("12402003", "Scar tissue"), (255, 210, 0), ("myocardial scar", "lv scar", "infarct",
              "infarction", "late enhancement", "lge scar"), category=TISSUE, region=MYOCARDIUM),
    Structure("edema", Code("79654002", "Edema"), (42, 200, 190), ("oedema", "myocardial edema", "lv edema"),
              category=ALTERED, region=MYOCARDIUM),
    Structure("kidney cyst", Code("367643001", "Cyst"), (205, 205, 100), ("renal cyst",), True, category=ALTERED,
              region=Code("64033007", "Kidney")),
    Structure("kidney tumor", Code("108369006", "Neoplasm"), (144, 238, 144), ("renal tumor",), True, category=ALTERED,
              region=Code("64033007", "Kidney")),
    Structure("liver tumor", Code("108369006", "Neoplasm"), (144, 238, 144), ("liver lesion", "hepatic tumor"),
              category=ALTERED, region=Code("10200004", "Liver")),
    Structure("pancreas tumor", Code("108369006", "Neoplasm"), (144, 238, 144), ("pancreatic tumor",),
              category=ALTERED, region=Code("15776009", "Pancreas")),
    Structure("tumor", Code("108369006", "Neoplasm"), (144, 238, 144), ("tumour", "neoplasm", "cancer"),
              category=ALTERED),
    Structure("cyst", Code("367643001", "Cyst"), (205, 205, 100), category=ALTERED),
    Structure("necrosis", Code("6574001", "Necrosis"), (216, 191, 216), category=ALTERED),
    Structure("fat", Code("55603005", "Fat"), (230, 220, 70), ("torso fat", "adipose tissue"), category=TISSUE),
    Structure("subcutaneous fat", Code("55603005", "Fat"), (230, 220, 110), wider=True, category=TISSUE),
)  # fmt: skip
ABDOMEN = (
    _row("liver", "10200004", "Liver", (221, 130, 101), "hepar"),
    _row("spleen", "78961009", "Spleen", (157, 108, 162), "lien"),
    _row("kidney", "64033007", "Kidney", (185, 102, 83), "kidneys", paired=True),
    _row("pancreas", "15776009", "Pancreas", (249, 180, 111)),
    _row("gallbladder", "28231008", "Gallbladder", (139, 150, 98), "gall bladder"),
    _row("stomach", "69695003", "Stomach", (216, 132, 105)),
    _row("esophagus", "32849002", "Esophagus", (211, 171, 143), "oesophagus"),
    _row("duodenum", "38848004", "Duodenum", (255, 230, 160)),
    _row("small bowel", "30315005", "Small intestine", (205, 167, 142), "small intestine"),
    _row("colon", "71854001", "Colon", (204, 168, 143), "large bowel"),
    _row("rectum", "34402009", "Rectum", (190, 150, 130)),
    _row("adrenal gland", "23451007", "Adrenal gland", (249, 186, 150), "adrenal, adrenals, adrenal glands, "
         "suprarenal gland", paired=True),
    _row("inferior vena cava", "64131007", "Inferior vena cava", VEIN, "IVC, postcava"),
    _row("portal vein", "32764006", "Portal vein", (60, 110, 200)),
    _row("splenic vein", "35819009", "Splenic vein", (80, 90, 190)),
    _row("portal and splenic veins", "32764006", "Portal vein", (60, 110, 200), "portal vein and splenic vein, "
         "portal and splenic vein, portal vein splenic vein", wider=True),
    _row("hepatic vein", "8993003", "Hepatic vein", (70, 130, 190), "hepatic vessels, hepatic veins"),
    _row("abdominal aorta", "7832008", "Abdominal aorta", (224, 97, 76)),
    _row("bladder", "89837001", "Bladder", (222, 154, 132), "urinary bladder"),
    _row("prostate", "41216001", "Prostate", (230, 158, 140)),
    _row("seminal vesicle", "64739004", "Seminal Vesicle", (245, 172, 147), "seminal vesicles", paired=True),
    _row("uterus", "35039007", "Uterus", (255, 181, 158)),
    _row("ovary", "15497006", "Ovary", (240, 170, 190), paired=True),
    _row("peripheral zone", "279706003", "Peripheral zone of the prostate", (170, 120, 200)),
    _row("transition zone", "399384005", "Transition zone of the prostate", (110, 170, 200)),
    _row("common iliac artery", "73634005", "Common iliac artery", ARTERY, "iliac artery", paired=True),
    _row("common iliac vein", "46027005", "Common iliac vein", VEIN, "iliac vein, iliac vena", paired=True),
)  # fmt: skip
CHEST = (
    _row("lung", "39607008", "Lung", (197, 165, 145), "lungs", paired=True),
    _row("lung upper lobe", "45653009", "Upper lobe of lung", (172, 138, 115), "upper lobe of lung, upper lung lobe",
         paired=True),
    _row("lung middle lobe", "72481006", "Middle lobe of right lung", (202, 164, 140), "middle lobe of lung, "
         "lung middle lobe right, right middle lobe of lung, right lung middle lobe, middle lobe of right lung"),
    _row("lung lower lobe", "90572001", "Lower lobe of lung", (224, 186, 162), "lower lobe of lung, lower lung lobe",
         paired=True),
    _row("trachea", "44567001", "Trachea", (182, 228, 255), "windpipe"),
    _row("trachea and bronchus", "110726009", "Trachea and bronchus", (182, 228, 255), "lung trachea bronchia"),
    _row("thyroid", "69748006", "Thyroid", (62, 162, 114), "thyroid gland"),
    _row("brachiocephalic trunk", "12691009", "Innominate artery", ARTERY, "brachiocephalic artery"),
    _row("brachiocephalic vein", "8887007", "Innominate vein", VEIN, "innominate vein", paired=True),
    _row("subclavian artery", "36765005", "Subclavian artery", ARTERY, paired=True),
    _row("common carotid artery", "32062004", "Common carotid artery", ARTERY, "carotid artery common", paired=True),
    _row("pleura", "3120008", "Pleura", (150, 190, 200)),
)  # fmt: skip
HEAD = (
    _row("brain", "12738006", "Brain", (250, 250, 225)),
    _row("white matter", "389080008", "White Matter", (250, 250, 210)),
    _row("gray matter", "389081007", "Gray Matter", (200, 200, 215), "grey matter"),
    _row("cerebrospinal fluid", "65216001", "Cerebrospinal Fluid", (85, 188, 255), "csf"),
    _row("hippocampus", "5366008", "Hippocampus", (220, 216, 20), paired=True),
    _row("spinal cord", "2748008", "Spinal cord", (244, 214, 49)),
    _row("skull", "89546000", "Skull", BONE),
    _row("face", "89545001", "Face", (177, 122, 101)),
)
BONES = (
    _row("sternum", "56873002", "Sternum", (244, 217, 154)),
    _row("costal cartilage", "50016007", "Costal Cartilage", (111, 184, 210), "costal cartilages"),
    _row("clavicle", "51299004", "Clavicle", BONE, "clavicula", paired=True),
    _row("scapula", "79601000", "Scapula", (212, 188, 102), paired=True),
    _row("humerus", "85050009", "Humerus", (205, 179, 108), paired=True),
    _row("hip", "29836001", "Hip", (225, 200, 150), "hip bone", paired=True),
    _row("femur", "71341001", "Femur", (255, 238, 170), paired=True),
    _row("sacrum", "54735007", "Sacrum", (212, 208, 122)),
    _row("vertebrae S1", "54735007", "Sacrum", (212, 208, 122), "vertebra S1", wider=True),
    _row("vertebra", "51282000", "Vertebra", (255, 255, 207), "vertebrae"),
    _row("rib", "113197003", "Rib", (253, 232, 158), "ribs", paired=True),
    *(
        _row(f"rib {number}", "113197003", "Rib", (253, 232 - 6 * (number % 2), 158), paired=True, wider=True)
        for number in range(1, 13)
    ),
)
VERTEBRAE = {
    "C1": "14806007", "C2": "39976000", "C3": "113205007", "C4": "5329002", "C5": "36978003", "C6": "36054005",
    "C7": "87391001", "T1": "64864005", "T2": "53733008", "T3": "1626008", "T4": "73071006", "T5": "56401006",
    "T6": "45296009", "T7": "62487009", "T8": "11068009", "T9": "82687006", "T10": "7610001", "T11": "12989004",
    "T12": "23215003", "L1": "66794005", "L2": "14293000", "L3": "36470004", "L4": "11994002", "L5": "49668003",
}  # fmt: skip
SPINE = tuple(
    _row(f"vertebrae {level}", value, f"{level} vertebra", (255, 255 - 12 * (number % 2), 207), f"vertebra {level}")
    for number, (level, value) in enumerate(VERTEBRAE.items())
)
MUSCLES = (
    _row("autochthon", "44947003", "Erector spinae muscle", MUSCLE, "autochthonous back muscle, erector spinae, "
         "deep back muscle", paired=True),
    _row("iliopsoas", "102292000", "Muscle of lower limb", MUSCLE, "iliopsoas muscle, psoas", paired=True, wider=True),
    *(_row(f"gluteus {which}", "102292000", "Muscle of lower limb", MUSCLE, f"gluteus {which} muscle", paired=True,
           wider=True) for which in ("maximus", "medius", "minimus")),
    _row("skeletal muscle", "127954009", "Skeletal muscle", MUSCLE, "muscle"),
)  # fmt: skip
STRUCTURES = (*HEART, *LESIONS, *ABDOMEN, *CHEST, *HEAD, *BONES, *SPINE, *MUSCLES)
