"""Why a classifier says what it says: heat maps, their share inside the lungs, and what lies near in feature space."""
