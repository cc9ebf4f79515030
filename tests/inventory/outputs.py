"""What programs print about machines, in the form that they print it; serial numbers are made up."""

from __future__ import annotations

import json


def listed(*names: str) -> str:
    """nvidia-smi -L."""
    return "".join(
        f"GPU {k}: {name} (UUID: GPU-00000000-0000-0000-0000-00000000000{k})\n" for k, name in enumerate(names)
    )


def matrix(*rows: str, nics: int = 0) -> str:
    """nvidia-smi topo -m: rows of the upper triangle, GPU by GPU."""
    count = len(rows) + 1
    words = [["X"] * count for _ in range(count)]
    for i, row in enumerate(rows):
        for j, word in enumerate(row.split(), start=i + 1):
            words[i][j] = words[j][i] = word
    extra = [f"NIC{k}" for k in range(nics)]
    head = "\t" + "\t".join(
        [*(f"GPU{k}" for k in range(count)), *extra, "CPU Affinity", "NUMA Affinity", "GPU NUMA ID"]
    )
    lines = [
        "\t".join([f"GPU{k}", *(f" {word} " for word in row), *(["SYS"] * nics), "0-31,64-95", "0", "\tN/A"])
        for k, row in enumerate(words)
    ]
    legend = "\n\nLegend:\n\n  X    = Self\n  SYS  = Connection traversing PCIe as well as the SMP interconnect\n"
    return f"\x1b[4m{head}\x1b[0m\n" + "\n".join(lines) + legend


QUERY = """name, memory.total [MiB], memory.free [MiB]
NVIDIA GeForce RTX 4090, 24564 MiB, 24080 MiB
"""
TABLE = """+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 550.54.15              Driver Version: 550.54.15      CUDA Version: 12.4     |
|-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |
|=========================================+========================+======================|
|   0  NVIDIA GeForce RTX 3090        Off |   00000000:01:00.0 Off |                  N/A |
| 30%   38C    P8             22W /  350W |      10MiB /  24576MiB |      0%      Default |
+-----------------------------------------+------------------------+----------------------+
|   1  NVIDIA GeForce RTX 3090        Off |   00000000:21:00.0 Off |                  N/A |
| 30%   36C    P8             18W /  350W |      10MiB /  24576MiB |      0%      Default |
+-----------------------------------------+------------------------+----------------------+
"""
# Of a virtual machine with one H200, driver 580.159.04: a table with the row of MIG, and a matrix of one.
TABLE_MIG = """+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 580.159.04             Driver Version: 580.159.04     CUDA Version: 13.0     |
+-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |
|                                         |                        |               MIG M. |
|=========================================+========================+======================|
|   0  NVIDIA H200                    On  |   00000000:00:06.0 Off |                    0 |
| N/A   41C    P0             81W /  700W |       0MiB / 143771MiB |      0%      Default |
|                                         |                        |             Disabled |
+-----------------------------------------+------------------------+----------------------+

|  No running processes found                                                             |
"""
LONG = """==============NVSMI LOG==============

Attached GPUs                             : 1
GPU 00000000:17:00.0
    Product Name                          : NVIDIA H100 80GB HBM3
    Product Brand                         : NVIDIA
    FB Memory Usage
        Total                             : 81559 MiB
        Reserved                          : 551 MiB
        Used                              : 0 MiB
"""
ROCM_JSON = json.dumps(
    {
        f"card{k}": {
            "Card series": "AMD Instinct MI300X",
            "Card model": "0x74a1",
            "VRAM Total Memory (B)": "206141652992",
            "VRAM Total Used Memory (B)": "297594880",
        }
        for k in range(2)
    }
    | {"system": {"Driver version": "6.7.0"}}
)
ROCM_TEXT = """============================ ROCm System Management Interface ============================
GPU[0]\t\t: Card series: \t\tRadeon RX 7900 XTX
GPU[0]\t\t: VRAM Total Memory (B): 25753026560
GPU[0]\t\t: VRAM Total Used Memory (B): 28000256
================================== End of ROCm SMI Log ===================================
"""


def mac(chip: str, gigabytes: int) -> str:
    """system_profiler SPHardwareDataType."""
    return f"""Hardware:

    Hardware Overview:

      Model Name: Mac Studio
      Model Identifier: Mac14,14
      Chip: {chip}
      Total Number of Cores: 24 (16 performance and 8 efficiency)
      Memory: {gigabytes} GB
      System Firmware Version: 10151.1.1
"""


MAC_JSON = json.dumps({"SPHardwareDataType": [{"chip_type": "Apple M4 Pro", "physical_memory": "64 GB"}]})
LLAMA = """ggml_cuda_init: found 1 CUDA devices:
  Device 0: NVIDIA GeForce RTX 4090, compute capability 8.9, VMM: yes
Available devices:
  RPC[192.168.1.20:50052]: RPC[192.168.1.20:50052] (11906 MiB, 11500 MiB free)
  CUDA0: NVIDIA GeForce RTX 4090 (24080 MiB, 23664 MiB free)
"""
RAY = json.dumps(
    [
        {
            "NodeID": f"{k:056x}",
            "Alive": alive,
            "NodeManagerHostname": f"ray-{k}",
            "Resources": {
                "CPU": 48.0,
                "memory": 1.9e11,
                "GPU": 4.0,
                "accelerator_type:A10G": 1.0,
                f"node:10.0.0.{k}": 1.0,
            },
        }
        for k, alive in enumerate((True, True, False))
    ]
)
KUBERNETES = json.dumps(
    {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "metadata": {
                    "name": "gpu-a",
                    "labels": {
                        "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
                        "nvidia.com/gpu.memory": "81920",
                        "topology.kubernetes.io/region": "us-east-1",
                    },
                },
                "status": {"capacity": {"cpu": "96", "nvidia.com/gpu": "8"}, "allocatable": {"nvidia.com/gpu": "8"}},
            },
            {
                "metadata": {
                    "name": "gpu-b",
                    "labels": {"nvidia.com/gpu.product": "Tesla-T4", "topology.kubernetes.io/region": "eu-west-1"},
                },
                "status": {"capacity": {"nvidia.com/gpu": "1"}},
            },
            {"metadata": {"name": "control", "labels": {}}, "status": {"capacity": {"cpu": "4"}}},
        ],
    }
)
EXO = json.dumps(
    {
        "topology": {
            "nodes": ["one", "two", "three"],
            "connections": {
                "one": {"two": [{"sourceRdmaIface": "rdma_en2", "sinkRdmaIface": "rdma_en3"}], "three": [{}]},
                "two": {"one": [{"sourceRdmaIface": "rdma_en3", "sinkRdmaIface": "rdma_en2"}]},
            },
        },
        "nodeIdentities": {
            "one": {"modelId": "Mac Studio", "chipId": "Apple M3 Ultra", "friendlyName": "Studio One"},
            "two": {"modelId": "Mac Studio", "chipId": "Apple M3 Ultra", "friendlyName": "Studio Two"},
            "three": {"modelId": "MacBook Pro", "chipId": "Apple M4 Max", "friendlyName": "laptop"},
        },
        "nodeMemory": {
            name: {"ramTotal": {"inBytes": size * 2**30}, "ramAvailable": {"inBytes": size * 2**29}}
            for name, size in (("one", 512), ("two", 256), ("three", 128))
        },
    }
)
EXO_FIRST = json.dumps(
    {"nodes": {"a": {"model": "MacBook Pro", "chip": "Apple M1 Max", "memory": 65536, "flops": {"fp32": 10.6}}}}
)
