"""What a run folder tells a person who opens it."""

README = """This folder is one training run of `unpaired` {version}: recipe {name}.

recipe.json         every setting, resolved; `unpaired train` reads it back, `unpaired recipes` shows it
dataset.json        classes, modalities, label values and the cases with their split (images stay where they are)
split.json          which case was used for training (labeled or not), validation and test
versions.json       versions, hardware, git state, the command, and the weights it began with, if any
fingerprint.json    hashes of the files it is trained and validated with, and what the raw scans' values look like
progress.png        curves and a validation case of each modality, as training went (after half a minute)
log.csv             loss and its terms by step;  tensorboard/ has the same curves
validation.csv      Dice of whole validation cases by step, modality and class
weights_best.safetensors   network weights with the best mean validation Dice (the last ones if there is no validation)
weights_last.safetensors   network weights of the last saved step
lock                held by the process that trains (it says which); means nothing once that has ended
resume.pt           optimizer state and step; only needed to go on training (start the same command again)
postprocessing.json what helped on validation cases (`unpaired find-postprocessing`); predict applies it and says so
predictions/ evaluation/ features/ misalignment/ report.html   written by `unpaired predict`, `evaluate`, `features`,
                    `misalignment`, `report` when no other place is named

Use it:  unpaired predict {folder} IMAGES OUT --modality {modality}
"""
