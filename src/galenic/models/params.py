"""Parameters in the way of scikit-learn: ``get_params``, ``set_params``, and so ``sklearn.base.clone``."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from galenic.models.fields import with_params


class Params:
    """Fields of a dataclass as scikit-learn asks for them; parts of a field are written ``training__lr``."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Fields by name.

        Parameters
        ----------
        deep
            Also the parts of fields that have some, as ``training__lr``.

        Returns
        -------
        dict
            As they were given, not what was learned.

        Examples
        --------
        >>> from galenic import KDRUG
        >>> params = KDRUG(seed=3).get_params()
        >>> params["seed"], "training__lr" in params
        (3, True)
        """
        found: dict[str, Any] = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            found[field.name] = value = getattr(self, field.name)
            if deep and dataclasses.is_dataclass(value):
                found |= {f"{field.name}__{part.name}": getattr(value, part.name) for part in dataclasses.fields(value)}
        return found

    def set_params(self, **params: Any) -> Self:
        """Change fields of this model, which is not fitted anew.

        Parameters
        ----------
        **params
            Values by name, parts as ``training__lr``. :func:`galenic.with_params` gives a changed copy instead.

        Returns
        -------
        Self
            The model itself.

        Raises
        ------
        ValueError, TypeError
            For a name that is no field, or a value that it cannot have; nothing is changed then.

        Examples
        --------
        >>> from galenic import KDRUG
        >>> KDRUG().set_params(training__lr=0.01).training.lr
        0.01
        """
        changed = with_params(self, {name.replace("__", "."): value for name, value in params.items()})
        for name in {name.partition("__")[0] for name in params}:
            setattr(self, name, getattr(changed, name))
        return self
