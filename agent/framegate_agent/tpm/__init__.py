"""The machine's TPM through tpm2-pytss: endorsement key, attestation key, TLS key, quote, certify,
sign, seal.
"""

import os

# before tpm2-pytss is first imported: expected errors, such as an empty NV index, would fill the
# log
os.environ.setdefault("TSS2_LOG", "all+none")
