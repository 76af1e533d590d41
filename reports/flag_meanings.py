"""What each flag means and what to do about it, in a sentence or two; the flag itself says what was seen."""

from __future__ import annotations

from collections.abc import Mapping

FLAG_MEANINGS: Mapping[str, str] = {
    "above-ceiling": (
        "Nothing but the noise of these very trials lies above the noise ceiling. Look for test responses "
        "among what the encoder was fitted on, or for ceilings of other data."
    ),
    "block-near-chance": (
        "Inside the block ids and responses do not belong together, outside they do. Compare the order of "
        "trials there with the log of the scan; leave the session out if it was lost."
    ),
    "constant-test-voxels": (
        "Voxels that never change while test images are shown were mostly not measured then: they have no "
        "voxel score, and a decoder reads their value all the same. Mask them, and run again."
    ),
    "control-equals-measured": (
        "A control that knows nothing does as well as measured responses, so the decoder gets what it "
        "shows from elsewhere. No score of this run says anything about a brain."
    ),
    "copies-are-trials": (
        "A picture that was listed once a trial was taken as one image with several trials. If they were "
        "meant as different images, give them ids."
    ),
    "data-warning": "Said while the data were read; the numbers rest on what was done about it.",
    "decoder-prior-zone": (
        "Predictions have no measurement noise and lie nearer to the average response, which generators "
        "turn into clean pictures. Better images than the measured ones show are no better prediction of "
        "the brain: read decoded agreement and voxel r."
    ),
    "doubled-test-images": (
        "The same picture counts several times, so there is less evidence than there are images. Leave "
        "one of each, or read intervals as too narrow."
    ),
    "few-images": (
        "Skewed scores of so few images have intervals that miss their mean more often than one in twenty "
        "times. Score more images before believing a difference."
    ),
    "ground-truth-selection": (
        "Candidates were compared with the answer. Such a score cannot be had without the stimulus: "
        "compare it with no other, and use --selection first or predicted-embedding to report."
    ),
    "images-left-out": (
        "A folder of images beside those that were scored has no row's name. If it is one of them, call it "
        "as the row is called, and score again."
    ),
    "misaligned-ids": (
        "Images or responses are identified at chance: in all likelihood they belong to other ids. Check "
        "the order of ids before reading any score."
    ),
    "missing-reconstructions": (
        "Only images with a reconstruction were scored, in every row alike. Which were missing may not be "
        "chance; give them all to report a result."
    ),
    "missing-training-images": (
        "Some training images are lost and their trials were left out; the test set is whole."
    ),
    "near-duplicates-in-training": (
        "Nearly the same pictures were trained on: remembering them would score as reconstruction. Read "
        "what nearness to the training images was worth, or leave these images out."
    ),
    "nearly-alike": (
        "Where almost all images have one value, one other image can move the mean further than the "
        "interval says."
    ),
    "out-of-memory": (
        "Decoded in smaller batches than asked for; another batch size may change last digits."
    ),
    "predictions-in-other-units": (
        "Correlations do not mind a scale, decoders do: they get responses that are too large or too "
        "small. Convert the predictions, or use --adapter match-std."
    ),
    "reads-annotations": (
        "The encoder was told in words what each test image shows. Compare it with encoders that saw the "
        "image as a bound, not as a rival."
    ),
    "several-subjects": "The encoder saw other subjects too; compare it with others that did.",
    "shared-backbone": (
        "The score looks through the network that the system was built on, and likes what that network "
        "likes. Lean on scores of other networks."
    ),
    "test-images-in-training": (
        "What was seen in training can be remembered. Take these images out of training or out of the "
        "test set."
    ),
    "test-scales-itself": (
        "Test responses were scaled by their own mean and spread, which a new recording would not have; "
        "scores are those of a whole session at hand."
    ),
    "trained-on-test-images": (
        "A model that comes with its weights has seen test images, so its scores on them measure memory "
        "too. Report scores on the others, or say it beside the number."
    ),
    "transductive-decoder": (
        "The decoder had all test responses at once, which a single new scan would not give it. Compare "
        "it with decoders that had the same."
    ),
    "trials-not-measured": (
        "Trials without any value were left out; an image that had only such trials would have been refused."
    ),
    "weak-noise-ceiling": (
        "The ceiling was estimated from few repeats and is itself uncertain, and so is everything that is "
        "divided by it. Read raw voxel r first."
    ),
    "zero-trials": "Trials of zeros in every voxel look like trials that were never filled in.",
}
"""Name of a flag -> what it means."""

_OF_STAGES = "Warned of during this stage of the run; the numbers rest on what was done about it."


def flag_meaning(name: str) -> str:
    """The meaning of the flag `name`, ``""`` for one that this version does not know."""
    return FLAG_MEANINGS.get(name) or (_OF_STAGES if name.endswith("-warning") else "")
