"""Where pretrained weights come from, and what is known of their SHA-256.

torchvision names its files by the first eight hex digits and publishes no more; the hub's large files
are stored under their whole SHA-256.  SwAV's file was published without any hash, and nothing is
pinned of GNet's and the generators': the first copy that arrives is recorded, and from then on any other is
refused.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PinnedWeights:
    """A file of weights: where it comes from and how its SHA-256 begins.

    sha256_prefix : all 64 digits or the first ones, whatever is published; empty when nothing is.
    megabytes : what a person is told before a download; the hash alone decides.
    stored_as : the name of the file here, where the last part of the address says nothing.
    """

    url: str
    sha256_prefix: str
    megabytes: int
    source: str
    stored_as: str = ""

    @property
    def file_name(self) -> str:
        return self.stored_as or self.url.rpartition("/")[2]


WEIGHTS: dict[str, PinnedWeights] = {
    "alexnet": PinnedWeights(
        url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        sha256_prefix="7be5be79",
        megabytes=245,
        source="torchvision AlexNet_Weights.IMAGENET1K_V1",
    ),
    "inception": PinnedWeights(
        url="https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
        sha256_prefix="0cc3c7bd",
        megabytes=109,
        source="torchvision Inception_V3_Weights.IMAGENET1K_V1",
    ),
    "efficientnet": PinnedWeights(
        url="https://download.pytorch.org/models/efficientnet_b1-c27df63c.pth",
        sha256_prefix="c27df63c",
        megabytes=32,
        source="torchvision EfficientNet_B1_Weights.IMAGENET1K_V2",
    ),
    "efficientnet-rwightman": PinnedWeights(
        url="https://download.pytorch.org/models/efficientnet_b1_rwightman-bac287d4.pth",
        sha256_prefix="bac287d4",
        megabytes=32,
        source="torchvision EfficientNet_B1_Weights.IMAGENET1K_V1",
    ),
    "resnet18": PinnedWeights(
        url="https://download.pytorch.org/models/resnet18-f37072fd.pth",
        sha256_prefix="f37072fd",
        megabytes=47,
        source="torchvision ResNet18_Weights.IMAGENET1K_V1",
    ),
    "swav": PinnedWeights(
        url="https://dl.fbaipublicfiles.com/deepcluster/swav_800ep_pretrain.pth.tar",
        sha256_prefix="",
        megabytes=113,
        source="facebookresearch/swav hubconf.py, ResNet-50 after 800 epochs",
    ),
    "clip": PinnedWeights(
        url="https://huggingface.co/openai/clip-vit-large-patch14/resolve/"
        "32bd64288804d66eefd0ccbe215aa642df71cc41/model.safetensors",
        sha256_prefix="a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb",
        megabytes=1711,
        source="openai/clip-vit-large-patch14, the hub's hash of the stored file",
        stored_as="clip-vit-large-patch14.safetensors",
    ),
    "dinov2": PinnedWeights(
        url="https://huggingface.co/facebook/dinov2-base/resolve/"
        "f9e44c814b77203eaa57a6bdbbd535f21ede1415/model.safetensors",
        sha256_prefix="d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841",
        megabytes=346,
        source="facebook/dinov2-base, the hub's hash of the stored file",
        stored_as="dinov2-base.safetensors",
    ),
    "gnet": PinnedWeights(
        url="https://huggingface.co/datasets/pscotti/mindeyev2/resolve/main/gnet_multisubject.pt",
        sha256_prefix="",
        megabytes=1288,
        source="pscotti/mindeyev2, the data set of MindEye2",
    ),
}

WEIGHTS |= {
    "wordnet": PinnedWeights(
        url="https://raw.githubusercontent.com/nltk/nltk_data/"
        "5db857e6f7df11eabb5e5665836db9ec8df07e28/packages/corpora/wordnet.zip",
        sha256_prefix="cbda5ea6eef7f36a97a43d4a75f85e07fccbb4f23657d27b4ccbc93e2646ab59",
        megabytes=11,
        source="WordNet 3.0 as nltk distributes it",
    ),
    "clip-words": PinnedWeights(
        url="https://raw.githubusercontent.com/openai/CLIP/"
        "d05afc436d78f1c48dc0dbf8e5980a9d471f35f6/clip/bpe_simple_vocab_16e6.txt.gz",
        sha256_prefix="924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a",
        megabytes=1,
        source="openai/CLIP, merges of its byte pair encoding",
    ),
    "clip-b32": PinnedWeights(
        url="https://huggingface.co/openai/clip-vit-base-patch32/resolve/"
        "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268/pytorch_model.bin",
        sha256_prefix="a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f",
        megabytes=605,
        source="openai/clip-vit-base-patch32, the hub's hash of the stored file",
        stored_as="clip-vit-base-patch32.bin",
    ),
    "minilm": PinnedWeights(
        url="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/"
        "1110a243fdf4706b3f48f1d95db1a4f5529b4d41/model.safetensors",
        sha256_prefix="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        megabytes=91,
        source="sentence-transformers/all-MiniLM-L6-v2, the hub's hash of the stored file",
        stored_as="all-MiniLM-L6-v2.safetensors",
    ),
    "minilm-words": PinnedWeights(
        url="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/"
        "1110a243fdf4706b3f48f1d95db1a4f5529b4d41/tokenizer.json",
        sha256_prefix="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        megabytes=1,
        source="sentence-transformers/all-MiniLM-L6-v2, its tokenizer",
        stored_as="all-MiniLM-L6-v2-tokenizer.json",
    ),
}
"""Captions are scored with the latter ones (:mod:`harness.metrics.captions`)."""

WEIGHTS |= {
    name: PinnedWeights(
        url=f"https://huggingface.co/{repository}/resolve/main/{file}",
        sha256_prefix="",
        megabytes=megabytes,
        source=f"{repository}, {licence}",
        stored_as=f"{name}.{file.rpartition('.')[2]}",
    )
    for name, repository, file, megabytes, licence in (
        (
            "vd-image-unet",
            "shi-labs/versatile-diffusion",
            "image_unet/diffusion_pytorch_model.bin",
            3438,
            "MIT",
        ),
        (
            "vd-text-unet",
            "shi-labs/versatile-diffusion",
            "text_unet/diffusion_pytorch_model.bin",
            6859,
            "MIT",
        ),
        ("vd-vae", "shi-labs/versatile-diffusion", "vae/diffusion_pytorch_model.bin", 335, "MIT"),
        (
            *("sd14-unet", "CompVis/stable-diffusion-v1-4", "unet/diffusion_pytorch_model.safetensors", 3438),
            "licence CreativeML OpenRAIL-M",
        ),
        (
            *("sd14-vae", "CompVis/stable-diffusion-v1-4", "vae/diffusion_pytorch_model.safetensors", 335),
            "licence CreativeML OpenRAIL-M",
        ),
    )
}
WEIGHTS["vdvae"] = PinnedWeights(
    url="https://openaipublic.blob.core.windows.net/very-deep-vaes-assets/vdvae-assets-2/"
    "imagenet64-iter-1600000-model-ema.th",
    sha256_prefix="",
    megabytes=500,
    source="openai/vdvae, imagenet64, MIT",
)
"""Generators that decoders draw with; sizes are counted from the networks, hashes were never seen."""

METRICS = ("alexnet", "inception", "efficientnet", "swav", "clip", "dinov2")

GROUPS: dict[str, tuple[str, ...]] = {
    "metrics": METRICS,
    "captions": ("wordnet", "clip-words", "clip-b32", "clip", "minilm", "minilm-words"),
    "versatile-diffusion": ("vd-image-unet", "vd-text-unet", "vd-vae", "clip", "clip-words"),
    "stable-diffusion-1.4": ("sd14-unet", "sd14-vae", "clip", "clip-words"),
    "brain-diffuser": ("alexnet", "inception", "efficientnet-rwightman", "swav", "clip"),
}
"""Names that stand for several weights: of the default metrics, of captions, generators and one protocol."""
